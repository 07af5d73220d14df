"""Breaks runs on purpose to check that nothing is lost."""
