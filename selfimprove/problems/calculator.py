"""A calculator that a method may call while it answers: exact arithmetic on whole numbers, nothing is executed."""

from __future__ import annotations

from typing import ClassVar

from selfimprove.episodes import Tool
from selfimprove.problems.expressions import evaluate


class Calculator(Tool):
    """Says the value of an expression such as `3*(4+5)`: a whole number, or a fraction such as `7/2`."""

    slow: ClassVar[bool] = False

    def call(self, text: str) -> str:
        """The value.

        Raises:
            ValueError: the text is not arithmetic on whole numbers; the session says so as `error: ...`.
        """
        value, _ = evaluate(text.replace(" ", "").replace(",", ""))
        if value is None:
            raise ValueError(f"not arithmetic on whole numbers: {text[:80]}")
        return str(value)
