"""What a damaged run folder looks like to whoever shows it: one line, whatever was in the place of a value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selfimprove.errors import DataError

ODD = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError)
"""Errors that values of other types lead to; the files are checked for what the loop relies on, no further."""


@contextmanager
def told(root: Path) -> Iterator[None]:
    """Raise what odd values in a run folder lead to as a DataError.

    Raises:
        DataError: a value has another type or is out of range.
    """
    try:
        yield
    except ODD as error:
        raise DataError(
            f"{root} is damaged: a value in it has another form than a run writes ({error!r:.200}). "
            f"Find the file: selfimprove verify {root}"
        ) from error
