"""Where problems come from, and how an answer to one is marked."""
