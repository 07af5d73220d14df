"""Self-improving language models: recipes for closed loops of data, training, inference and evaluation."""

__version__ = "0.1.0"
