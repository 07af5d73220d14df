"""The rounds: what each stage does, in which order, and what a run remembers."""
