"""Checks of untrusted input: programs, model folders, chat templates, and text for the screen."""
