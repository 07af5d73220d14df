"""Our own training loop, for what TRL has no trainer for: conversations, critics, rewards of several roles."""
