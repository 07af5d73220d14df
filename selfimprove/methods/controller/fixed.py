"""Run the planned rounds without changes.

Idea: no control.
Survey: baselines of section 6.
Paper: none.
Algorithm:
  1. Change nothing.
Differs: nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.interfaces import Controller
from selfimprove.registry import register
from selfimprove.rounds import Round, Stop


@register("fixed")
@dataclass
class Fixed(Controller):
    def next(self, history: Sequence[Round], settings: dict[str, Any]) -> dict[str, Any] | Stop:
        return {}
