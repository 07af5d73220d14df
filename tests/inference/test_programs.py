"""Functions that a model writes as tools, and its calls of them."""

from __future__ import annotations

import pytest

from selfimprove.inference.programs import LONGEST, call_in, functions_in, printing

ADD = "def add(a, b):\n    return a + b"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (f"Here it is:\n```python\n{ADD}\n```", ADD),
        ("```python\nx = 1 + 1\n```", ""),  # no function
        ("```python\ndef add(a, b:\n```", ""),  # no Python
        (f"```python\n{ADD}  # {'x' * LONGEST}\n```", ""),  # too long
        ("I cannot.", ""),
    ],
)
def test_a_tool_is_python_that_defines_a_function(reply: str, code: str) -> None:
    assert functions_in(reply).strip() == code


@pytest.mark.parametrize(
    ("reply", "call"),
    [
        ("```python\nadd(1, 2)\n```", "add(1, 2)"),
        ("```python\nprint(add(1, 2))\n```", "add(1, 2)"),
        ("```python\nx = 3\nadd(x, 2)\n```", "add(x, 2)"),  # the last line alone is an expression
        ("```python\n1 + 2\n```", ""),  # calls nothing
        ("```python\nx = add(1, 2)\n```", ""),  # no expression
        ("No code.", ""),
    ],
)
def test_a_call_is_the_last_expression_of_the_last_block(reply: str, call: str) -> None:
    assert call_in(reply) == call


def test_the_program_prints_what_the_call_gives() -> None:
    assert printing(ADD, "add(1, 2)") == f"{ADD}\n\nprint(add(1, 2))\n"
