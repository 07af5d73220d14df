"""The calculator says exact values, and refuses what is not arithmetic."""

from __future__ import annotations

import pytest

from selfimprove.problems.calculator import Calculator


@pytest.mark.parametrize(
    ("text", "value"), [("3+5", "8"), (" 3 * (4 + 5) ", "27"), ("1,000 - 1", "999"), ("7/2", "7/2")]
)
def test_values(text: str, value: str) -> None:
    assert Calculator().call(text) == value


@pytest.mark.parametrize("text", ["", "x", "2**9", "1/0", "__import__('os')", "1" * 300])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not arithmetic on whole numbers"):
        Calculator().call(text)
