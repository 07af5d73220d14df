"""Self-improving language models: recipes for closed loops of data, training, inference and evaluation."""
