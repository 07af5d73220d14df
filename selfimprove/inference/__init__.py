"""Running weights: drawing completions, scoring tokens, and the memory that it takes."""
