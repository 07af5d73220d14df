"""Stop when several rounds in a row were not accepted.

Idea: STaR runs until its performance stops to rise; here the gate says whether it rose.
Survey: stopping, section 6.
Paper: arXiv:2203.14465 (STaR), Zelikman et al., 2022.
Algorithm:
  1. Count the rounds since the last certified or accepted one.
  2. `patience` of them: stop.
Differs: the paper watches the accuracy on its development set by eye.
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
    """Rounds without an accepted candidate after which the run ends."""

    def next(self, history: Sequence[Round], settings: dict[str, Any]) -> dict[str, Any] | Stop:
        barren = 0
        for past in reversed(history):
            if past.decision is None or past.decision.verdict in ("certify", "accept"):
                break
            barren += 1
        return Stop(reason=f"no accepted candidate in {barren} rounds") if barren >= self.patience else {}
