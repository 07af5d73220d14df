"""What one row says: values as text, contents in parts, columns inside columns, and what is refused."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from selfimprove.errors import DataError
from selfimprove.problems.cells import Written, clean, dirty, messages_of, pick, places, reference_of, talk


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (float("nan"), None),
        ("NA", "NA"),
        ("", ""),
        (7, "7"),
        (True, "true"),
        (0.5, "0.5"),
        (10**26, "1" + 26 * "0"),
        (Written("0.50"), "0.50"),
        (Written("1e400"), "1e400"),
        (Decimal("12.00"), "12.00"),
        (date(2024, 2, 1), "2024-02-01"),
        (datetime(2024, 2, 1, 12, 30), "2024-02-01T12:30:00"),
    ],
)
def test_a_reference_stays_as_it_stands(value: Any, text: str | None) -> None:
    assert reference_of(value, "answer") == text


@pytest.mark.parametrize(
    ("value", "hint"), [({"a": 1}, "such as answer.a"), ([1, 2], "such as answer.0"), (b"x", "a number, not")]
)
def test_what_is_no_text_is_refused_with_the_way_to_it(value: Any, hint: str) -> None:
    with pytest.raises(DataError, match=hint):
        reference_of(value, "answer")


def test_a_written_number_is_still_a_number() -> None:
    assert Written("0.50") + 1 == 1.5 and isinstance(Written("2.0"), float)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("a", 1),
        ("b.c", 2),
        ("i.j", 8),
        ("i.k.0", "9.0"),
        ("n.o.p", None),
        ("b.d.e", 3),
        ("f.1", 5),
        ("g.h", 6),
        ("b", {"c": 2, "d": {"e": 3}}),
    ],
)
def test_a_column_inside_a_column(column: str, value: Any) -> None:
    row = {"a": 1, "b": {"c": 2, "d": {"e": 3}}, "f": [4, 5], "g.h": 6, "g": {"h": 7}}
    row |= {"i": '{"j": 8, "k": ["9.0"]}', "n": {"o": None}}
    assert pick(row, column) == value
    assert places(row) == ["a", "b.c", "b.d", "f", "g.h", "g.h", "i", "n.o"]


@pytest.mark.parametrize("column", ["b.x", "f.2", "f.-1", "a.b", "bc", "b."])
def test_a_missing_column_names_those_that_are_there(column: str) -> None:
    with pytest.raises(DataError, match=r"no column .*b\.c"):
        pick({"a": 1, "b": {"c": 2}, "f": [4]}, column)


TEXT = {"type": "text", "text": "2 + "}


@pytest.mark.parametrize(
    "content",
    [
        [TEXT, {"type": "text", "text": "2?"}],
        [{**TEXT, "image_url": None}, "2?"],
        {"type": "text", "text": "2 + 2?"},
        "2 + 2?",
    ],
)
def test_a_content_in_parts_is_its_text(content: Any) -> None:
    asked = [{"role": "user", "content": content, "tool_calls": None, "name": "x"}]
    assert messages_of(asked, "prompt") == [{"role": "user", "content": "2 + 2?"}]


USER = {"role": "user", "content": "weather?"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([USER, {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}], "message 1 is a call of a tool"),
        ([USER, {"role": "assistant", "content": "", "function_call": {"name": "f"}}], "message 1 is a call"),
        ([USER, {"role": "tool", "content": "11 C"}], "message 1 is a tool's reply"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], "a part that is no text"),
        ([{"role": "user", "content": [{"type": "text", "text": None}]}], "a part that is no text"),
        ([{"role": "use", "content": "x"}], "role 'use'.*user"),
        ([{"role": "user", "content": []}], "is empty"),
        (0, "must be a text or a list"),
        (date(2024, 1, 1), "must be a text or a list.*2024-01-01"),
        (None, "'prompt' is empty"),
    ],
)
def test_what_no_method_can_replay_is_refused_with_its_message(value: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        messages_of(value, "prompt")
    assert "\n" not in str(caught.value) and "'prompt'" in str(caught.value)


def test_a_tool_of_sharegpt_is_refused_as_a_tool() -> None:
    turns = [{"from": "human", "value": "weather?"}, {"from": "observation", "value": "11 C"}]
    with pytest.raises(DataError, match="message 1 is a tool's reply"):
        messages_of(talk(turns), "conversations")


def test_only_control_characters_are_removed_and_a_windows_line_end_is_not_one() -> None:
    assert clean("a\x00\tb\r\nc\ud800") == "a\tb\nc"
    assert dirty("a\x00") and dirty("a\rb") and not dirty("a\r\nb\tc")
