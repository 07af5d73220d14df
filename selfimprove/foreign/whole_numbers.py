"""Whole numbers in names and keys that a stranger chose."""

from __future__ import annotations


def whole_number(text: str) -> int | None:
    """The number that a text of at most 18 ASCII digits is; None for any other, such as "²", which is a digit to
    `str.isdigit` and no number to `int`."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None
