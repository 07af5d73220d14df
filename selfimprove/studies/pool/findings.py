"""What a selection over a pool has found: counts, distributions before and after, and near copies, as plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from selfimprove.costs import NOTHING, Cost

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
LEVELS, EXAMPLES, SHOWN = 20, 5, 200
"""Most levels, and most pairs of near copies, that a report names; characters of each text."""


@dataclass
class Spread:
    """How some numbers are distributed."""

    count: int
    mean: float
    quantiles: list[float]
    """At `QUANTILES`."""

    @classmethod
    def of(cls, numbers: Any) -> Spread:
        """The distribution of a numpy array."""
        import numpy as np

        known = numbers[np.isfinite(numbers)].astype(float)
        if not len(known):
            return cls(0, 0.0, [0.0] * len(QUANTILES))
        return cls(len(known), float(known.mean()), [float(one) for one in np.quantile(known, QUANTILES)])


@dataclass
class Change:
    """Some numbers of the rows that came, and of those that stayed."""

    name: str
    before: Spread
    after: Spread


@dataclass
class Twin:
    """A row that went because it resembles one that stayed."""

    row: int
    like: int
    similarity: float
    text: str
    like_text: str


@dataclass
class Step:
    """What one selection did."""

    name: str
    came: int
    stayed: int
    seconds: float
    why: dict[str, float]
    """What the method measured."""
    notes: list[str]
    cost: Cost = NOTHING
    score: Change | None = None
    copies: int = 0
    """Rows that went because they resemble one that stayed."""
    twins: list[Twin] = field(default_factory=list)


@dataclass
class Findings:
    """What came of a pool; rows count from 1."""

    data: str
    out: str
    rows: int
    unread: int
    """Rows that could not be read and were left out."""
    stayed: int
    steps: list[Step]
    length: Change
    """In words."""
    levels: dict[str, list[int]]
    """Level -> how many rows came and stayed; "" where a pool has no such column."""
    seconds: float
    resumed: bool
    """Whether it went on with earlier work."""
    read: int
    """Rows that were read this time, over all steps."""
    portion: int
    """Rows that are in work at a time: so many a kill loses at most."""
    memory: int
    """Most bytes that this process took at a time."""

    def plain(self) -> dict[str, Any]:
        """All of it as JSON values."""
        made = asdict(self)
        for step, own in zip(made["steps"], self.steps, strict=True):
            step["cost"] = own.cost._asdict()
        return {**made, "quantiles": list(QUANTILES)}


def levels(before: Sequence[bytes], after: Sequence[bytes]) -> dict[str, list[int]]:
    """How many rows of each level came and stayed; {} where none has one."""
    came, stayed = Counter(before), Counter(after)
    if set(came) <= {b""}:
        return {}
    most = sorted(one for one, _ in came.most_common(LEVELS))
    return {one.decode(errors="replace"): [came[one], stayed[one]] for one in most}
