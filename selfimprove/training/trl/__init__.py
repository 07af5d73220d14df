"""Training by TRL, one kind of trainer per file; the one place that touches TRL."""
