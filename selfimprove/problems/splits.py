"""Who may draw problems of which split while a run goes: the data stages reach training and selection problems only.

This stops a method that uses what it is handed, a plugin's mistake included. It is no wall against code that sets out
to break Python's own; such code belongs into a sandboxed process.
"""

from __future__ import annotations

import contextlib
import hashlib
import unicodedata
from bisect import bisect
from collections.abc import Iterator
from functools import lru_cache

from selfimprove.errors import RecipeError

HELD_OUT = ("gate", "audit", "sealed")
"""Splits that no data stage may read."""
_stage: list[tuple[str, bool]] = []
"""The steps in progress that must not draw held-out problems, and whether some were handed to them."""


@contextlib.contextmanager
def closed(stage: str, exam: bool = False) -> Iterator[None]:
    """While it lasts, every task refuses to give held-out problems.

    Args:
        exam: held-out problems were drawn before and are answered now.
    """
    _stage.append((stage, exam))
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
            f"a method of the step {_stage[-1][0]} asked for {split} problems; held-out problems are out of reach of "
            "every method. Take the method out of the recipe, or mend it"
        )


def check_problem(key: str) -> None:
    """Called before the world of a problem is opened.

    Raises:
        RecipeError: it is a held-out problem, and a data stage runs.
    """
    if _stage and not _stage[-1][1] and (split := split_of(key)) in HELD_OUT:
        raise RecipeError(
            f"a method of the step {_stage[-1][0]} opened an episode with a problem of the {split} split; leave out "
            "problems that are not in the training or selection split"
        )


SPLITS = {"train": 600, "selection": 700, "gate": 850, "audit": 900, "sealed": 1000}
"""The five disjoint populations of problems, each up to (not including) this bucket of 1000."""
_SPLIT, _ENDS = list(SPLITS), list(SPLITS.values())


def canonical(text: str) -> str:
    """Unicode-normalised, lower case, white space folded: the key of a problem that has no better one."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def share(split: str) -> float:
    """The share of all problems that is in a split."""
    ends = [0, *_ENDS]
    place = _SPLIT.index(split)
    return (ends[place + 1] - ends[place]) / ends[-1]


@lru_cache(maxsize=1 << 17)
def split_of(key: str) -> str:
    """The split that a problem belongs to, whoever makes it: by the bucket sha256(key) modulo 1000.

    A problem can therefore not be in two splits, and one that a model proposes is recognised as held out.
    """
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest(), "big") % 1000
    return _SPLIT[bisect(_ENDS, bucket)]
