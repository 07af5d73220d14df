"""Whole numbers in names that a stranger chose."""

from __future__ import annotations

import pytest

from selfimprove.foreign import whole_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("0", 0), ("007", 7), ("9" * 18, 10**18 - 1)),
        *((text, None) for text in ("", "9" * 19, "-1", "1_0", "1.0", " 1", "\u00b2", "\u0661", "\uff11")),
    ],
)
def test_a_number_in_ascii_digits(text: str, number: int | None) -> None:
    assert whole_number(text) == number
