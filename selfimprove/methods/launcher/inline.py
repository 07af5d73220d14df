"""Run every step in the process of the command, which loads imports and models once.

Idea: the fastest way if one process can hold all stages.
Survey: none.
Paper: none.
Algorithm:
  1. Call the step.
Differs: nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfimprove.interfaces import Launcher
from selfimprove.registry import register


@register("inline")
@dataclass
class Inline(Launcher):
    def launch(self, step: Callable[[], None], command: Sequence[str]) -> None:
        step()
