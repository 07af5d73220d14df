"""A tool that runs a Python program in the sandbox, and the tools of tasks whose answers are numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from selfimprove.episodes import Tool
from selfimprove.problems.calculator import Calculator
from selfimprove.safety.sandbox.jail_process import Limits, Program
from selfimprove.safety.sandbox.open import shared

LONGEST = 2000
"""Characters of the output that are told."""


@dataclass
class Interpreter(Tool):
    """The tool `python`: says what a program prints."""

    limits: Limits = Limits()

    def call(self, text: str) -> str:
        """The output without blank ends, cut to `LONGEST`.

        Raises:
            ValueError: the program fails; the session says so as `error: ...`.
            EngineError: no sandbox works on this machine.
        """
        made = shared(self.limits).run(Program(text))
        if made.status != "ok":
            raise ValueError(f"{made.status} {made.text[:LONGEST]}".strip())
        return made.output.strip()[:LONGEST]


def tools() -> Mapping[str, Tool]:
    """A calculator and Python."""
    return {"calculator": Calculator(), "python": Interpreter()}
