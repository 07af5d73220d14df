"""How output is compared: line by line, within a tolerance, or by LiveCodeBench's numbers."""

from __future__ import annotations

import pytest

from selfimprove.safety.sandbox.rules import printed, same_text


@pytest.mark.parametrize(
    ("wanted", "got", "tolerance", "right"),
    [
        ("1\n2\n", "1\n2", None, True),
        ("1 \n2", "1\n2  \n\n", None, True),
        ("1\n2", "1\n\n2", None, False),
        ("1\n2", "1\x0c2", None, False),
        ("1\r\n2", "1\n2", None, True),
        ("a b", "a  b", None, False),
        (" a", "a", None, False),
        ("1.0", "1.00", None, False),
        ("1.0", "1.00", 1e-6, True),
        ("x 0.333333333", "x 0.333333334", 1e-6, True),
        ("1 2", "1", 1e-6, False),
        ("nan", "nan", 1e-6, True),
        ("1", "nan", 1e-6, False),
        ("yes", "no", 1e-6, False),
        ("10", "1_0", 1e-6, False),  # Python reads these as numbers, a judge does not
        ("10", "\u0661\u0660", 1e-6, False),
        ("1", "0x1p0", 1e-6, False),
        ("1000", "1e3", 1e-6, True),
        ("-0.5", "-.5", 1e-6, True),
        ("1", "1.", 1e-6, True),
        ("1", "9" * 5000, 1e-6, False),
        ("", "", None, True),
        ("", "x", None, False),
    ],
)
def test_text_is_compared_line_by_line(wanted: str, got: str, tolerance: float | None, right: bool) -> None:
    assert same_text(wanted, got, tolerance) is right


@pytest.mark.parametrize(
    ("wanted", "got", "right"),
    [
        ("2", "2.000000000000\n", True),
        ("0.5 3", " 5e-1 3.0 ", True),
        ("0.333333333333", "0.3333333333333333", False),  # not rounded: their rule is exact
        ("yes\nno", "\n yes\nno \n", True),
        ("yes\nno", "yes\n\nno", False),
        ("1", "one", False),
        ("YES", "yes", False),
        ("nan", "NaN", False),
        ("1", "sNaN", False),
        ("1 2", "1", False),
        ("10", "1_0", False),
        ("10", "\u0661\u0660", False),
        ("1", "1e99999999999999999999999", False),
        ("1e1000000000", "1e-1000000000", False),
    ],
)
def test_numbers_are_compared_as_live_code_bench_does(wanted: str, got: str, right: bool) -> None:
    assert printed(wanted, got, "livecodebench", None) is right
