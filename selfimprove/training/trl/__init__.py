"""Training with TRL, one kind of trainer per file; the only package that uses TRL."""
