"""Splits of problems, and the guard that keeps data stages to training and selection problems.

The guard stops mistakes, also those of plugins. It does not stop code that sets out to circumvent it; such code belongs
in a sandboxed process.
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
"""Splits that data stages must not read."""
_stage: list[tuple[str, bool]] = []
"""The steps in progress that must not draw held-out problems, and whether they answer some drawn before."""


@contextlib.contextmanager
def closed(stage: str, exam: bool = False) -> Iterator[None]:
    """Make every task refuse to give held-out problems inside this context.

    Args:
        exam: the step answers held-out problems that were drawn before.
    """
    _stage.append((stage, exam))
    try:
        yield
    finally:
        _stage.pop()


@contextlib.contextmanager
def lifted() -> Iterator[None]:
    """Let the loop itself read held-out problems inside a data stage, to compare texts with them.

    No method of the recipe may be called inside.
    """
    closed_steps = _stage[:]
    _stage.clear()
    try:
        yield
    finally:
        _stage[:] = closed_steps


def check(split: str) -> None:
    """Refuse held-out problems to a data stage; every task calls this before it gives problems.

    Raises:
        RecipeError: a method of a data stage asked for held-out problems.
    """
    if _stage and split in HELD_OUT:
        raise RecipeError(
            f"a method of the step {_stage[-1][0]} asked for {split} problems, which are held out and closed to every "
            "method. Remove the method from the recipe, or fix it"
        )


def check_problem(key: str) -> None:
    """Refuse a data stage an episode with a held-out problem; called before the episode opens.

    Raises:
        RecipeError: the problem is held out, and a data stage runs.
    """
    if _stage and not _stage[-1][1] and (split := split_of(key)) in HELD_OUT:
        raise RecipeError(
            f"a method of the step {_stage[-1][0]} opened an episode with a problem of the {split} split; leave out "
            "problems that are not in the training or selection split"
        )


SPLITS = {"train": 600, "selection": 700, "gate": 850, "audit": 900, "sealed": 1000}
"""The five disjoint splits, each up to (not including) this bucket of 1000."""
_SPLIT, _ENDS = list(SPLITS), list(SPLITS.values())


APART = "\x1f"
"""In a key: what follows tells problems apart that share a folded text. A folded text has no control characters."""


def folded(text: str) -> str:
    """Unicode-normalised, lower case, white space folded: the default key of a problem, which decides its split."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def share(split: str) -> float:
    """The share of all problems that is in a split."""
    ends = [0, *_ENDS]
    place = _SPLIT.index(split)
    return (ends[place + 1] - ends[place]) / ends[-1]


@lru_cache(maxsize=1 << 17)
def split_of(key: str) -> str:
    """The split of a problem, by the bucket sha256(key) modulo 1000; what follows APART in a key does not count.

    So a problem is in one split only, with all that differ from it in case, spaces or the form of a letter, and a
    held-out problem is recognised even if a model proposes it.
    """
    bucket = int.from_bytes(hashlib.sha256(key.partition(APART)[0].encode()).digest(), "big") % 1000
    return _SPLIT[bisect(_ENDS, bucket)]
