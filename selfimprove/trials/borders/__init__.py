"""Borders that `trials/fuzz.py` tries: a module each, named like the border, whose `BORDER` says how."""
