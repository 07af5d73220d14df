"""What a program prints is told, and one that fails is an error."""

from __future__ import annotations

import pytest

from selfimprove.problems.interpreter import LONGEST, Interpreter


def test_a_program_is_run_and_what_it_prints_is_told() -> None:
    python = Interpreter()
    assert python.call("def f(x):\n    return x * 2\n\nprint(f(21))\n") == "42"
    assert python.call("pass") == "" and len(python.call("print('x' * 9999)")) == LONGEST
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        python.call("print(1 / 0)")
