"""Breaking runs on purpose, to see that nothing is lost."""
