"""Who is champion and who is on trial after a decision, by the rounds that made them; 0 is the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

Maker = TypeVar("Maker", int, int | None)
"""The round that made a model; None where it is not known."""


@dataclass
class Standing:
    """Champion and incumbent at the start of a round, as the numbers of the rounds that made them."""

    champion: int = 0
    incumbent: int = 0


def after(champion: Maker, incumbent: Maker, verdict: str, certified: bool, candidate: Maker) -> tuple[Maker, Maker]:
    """Champion and incumbent after a decision on a candidate; see `Decision` for its verdict and `certified`."""
    champion = incumbent if certified else champion
    match verdict:
        case "certify":
            return candidate, candidate
        case "accept":
            return champion, candidate
        case "rollback":
            return champion, champion
        case _:
            return champion, incumbent
