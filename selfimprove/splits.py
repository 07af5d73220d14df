"""Who may draw problems of which split while a run goes: the data stages reach training and selection problems only.

This stops a method that uses what it is handed, a plugin's mistake included. It is no wall against code that sets out
to break Python's own; such code belongs into a sandboxed process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from selfimprove.errors import RecipeError

HELD_OUT = ("gate", "audit", "sealed")
"""Splits that no data stage may read."""
_stage: list[str] = []
"""The steps in progress that must not see held-out problems."""


@contextlib.contextmanager
def closed(stage: str) -> Iterator[None]:
    """While it lasts, every task refuses to give held-out problems."""
    _stage.append(stage)
    try:
        yield
    finally:
        _stage.pop()


def check(split: str) -> None:
    """Called by every task before it gives problems.

    Raises:
        RecipeError: a method of a data stage asked for held-out problems.
    """
    if _stage and split in HELD_OUT:
        raise RecipeError(
            f"a method of the step {_stage[-1]} asked for {split} problems; held-out problems are out of reach of "
            "every method. Take the method out of the recipe, or mend it"
        )
