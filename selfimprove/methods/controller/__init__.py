"""Survey section 6: what the next round does."""
