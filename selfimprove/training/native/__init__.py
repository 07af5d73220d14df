"""A training loop of our own, for what TRL has no trainer for: conversations, critics, rewards of several roles."""
