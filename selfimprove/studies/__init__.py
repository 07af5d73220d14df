"""Work outside a run: score a checkpoint, diagnose a model, benchmark recipes."""
