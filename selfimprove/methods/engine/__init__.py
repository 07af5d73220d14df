"""Run a checkpoint: draw completions and score them (survey section 5.2.4)."""
