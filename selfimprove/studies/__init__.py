"""Work outside a run: score a checkpoint, diagnose a model, benchmark recipes, measure how fast a recipe goes."""
