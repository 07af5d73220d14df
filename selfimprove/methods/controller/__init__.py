"""Survey section 6: options of the next round, or the end of the run."""
