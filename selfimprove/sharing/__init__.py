"""The champion of a run goes out: a model folder with a card, the Hub, a GGUF file; `selfimprove export`."""
