"""The sources of problems, and the rules that mark answers."""
