"""JSON from strangers: counted before it is built, and text that can be stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from selfimprove.foreign.bounded_json import VALUES, deeper, excess, loads, number, parsed, whole


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (b"[" * 200 + b"]" * 200, ""),
        (b"[" * 201 + b"]" * 201, "more than 200 levels"),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "more than 200 levels"),
        (b'["' + b"[" * 900 + b'"]', ""),  # brackets in a text are no levels
        (b'["\\"' + b"[" * 900 + b'"]', ""),
        (b"[" + b"0," * VALUES + b"0]", "more than 2,000,000 values"),
    ],
)
def test_what_is_too_much(text: bytes, wrong: str) -> None:
    assert (wrong in excess(text)) if wrong else not excess(text)
    if wrong:
        with pytest.raises(ValueError, match=wrong):
            parsed(text)
    else:
        assert parsed(text) == json.loads(text)


def test_levels_are_those_of_brackets_outside_of_texts() -> None:
    assert deeper(b'[{"a[": []}]', 2) and not deeper(b'[{"a[": []}]', 3)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": "\\ud800x"}', {"a": "\ufffdx"}),
        ('{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        (b'"\xff"', "\ufffd"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),  # two halves are a character
        (b"", None),
        (b"NaN", None),
        (b"-Infinity", None),
        (b"{", None),
    ],
)
def test_what_an_endpoint_sends(data: bytes, value: Any) -> None:
    if value is None:
        with pytest.raises(ValueError):
            loads(data)
    else:
        assert loads(data) == value


def test_halves_of_characters_are_replaced_at_any_depth() -> None:
    assert whole({"\ud800": ["a\udfff", 1, None]}) == {"\ufffd": ["a\ufffd", 1, None]}


@pytest.mark.parametrize(("value", "found"), [(1, 1.0), (0.5, 0.5), (10**400, None), (True, None), ("1", None)])
def test_a_number_is_finite(value: Any, found: float | None) -> None:
    if found is None:
        with pytest.raises(ValueError):
            number(value)
    else:
        assert number(value) == found


def test_a_number_that_json_lacks_is_none() -> None:
    with pytest.raises(ValueError, match="too large"):
        number(float("inf"))
