"""Stop after several rounds in a row without an accepted candidate.

Idea: STaR runs until its performance stops rising; here the gate decides whether it rose.
Survey: stopping, section 6.
Paper: arXiv:2203.14465 (STaR), Zelikman et al., 2022.
Algorithm:
  1. Count the rounds since the last certified or accepted one.
  2. Stop at `patience` of them.
Differs: in the paper the authors watch the accuracy on a development set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.interfaces import Controller
from selfimprove.registry import register
from selfimprove.rounds import Round, Stop


@register("plateau", paper="2203.14465")
@dataclass
class Plateau(Controller):
    patience: int = 2
    """Rounds in a row without an accepted candidate that end the run."""

    def next(self, history: Sequence[Round], settings: dict[str, Any]) -> dict[str, Any] | Stop:
        barren = 0
        for past in reversed(history):
            if past.decision is None or past.decision.verdict in ("certify", "accept"):
                break
            barren += 1
        return Stop(reason=f"no accepted candidate in {barren} rounds") if barren >= self.patience else {}
