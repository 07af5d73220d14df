"""Work outside of a run: score a checkpoint, diagnose a start, bench recipes."""
