"""Run weights: draw completions, compute numbers for tokens, and estimate memory."""
