"""Whether JSON has the types that are expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError
from selfimprove.store.shape import MAYBE, METRIC, NUMBER, PAIR, misfit, read

SHAPE = {
    "name": str,
    "n?": int,
    "scores": {str: NUMBER},
    "best?": MAYBE(METRIC),
    "list?": [{"a": (int, str)}],
    "ends?": PAIR,
}


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"name": "x", "scores": {}}, ""),
        ({"name": "x", "scores": {"a": 1, "b": 0.5}, "best": None, "list": [{"a": 1}, {"a": "b"}], "more": {}}, ""),
        ({"scores": {}}, "name is missing"),
        ({"name": 1, "scores": {}}, "name is a number that does not fit"),
        ({"name": "x", "scores": []}, "scores is a list"),
        ({"name": "x", "scores": {"a": None}}, "scores.a is null"),
        ({"name": "x", "scores": {"a": float("nan")}}, "scores.a is a number that does not fit"),
        ({"name": "x", "scores": {"a": 10**400}}, "scores.a is a number that does not fit"),
        ({"name": "x", "scores": {"a": True}}, "scores.a is a bool"),
        ({"name": "x", "scores": {}, "n": True}, "n is a bool"),
        ({"name": "x", "scores": {}, "best": {"value": 1}}, "best.low is missing"),
        ({"name": "x", "scores": {}, "list": [{"a": 1}, {"a": []}]}, "list[1].a is a list"),
        ([], "it is a list"),
        ({"name": "x", "scores": {"a": 1e200}}, "scores.a is a number that does not fit"),
        ({"name": "x", "scores": {}, "ends": [0, 1]}, ""),
        ({"name": "x", "scores": {}, "ends": [0]}, "ends has another length"),
        ({"name": "x", "scores": {}, "ends": [0, None]}, "ends[1] is null"),
    ],
)
def test_where_a_value_does_not_fit(value: Any, wrong: str) -> None:
    assert misfit(value, SHAPE) == wrong


def test_the_message_names_the_file_and_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"scores": {}}')
    with pytest.raises(DataError, match=r"x\.json is damaged: name is missing\. Make it again"):
        read(tmp_path / "x.json", SHAPE, "Make it again")
    with pytest.raises(DataError, match=r"y\.json is missing\. Make it again"):
        read(tmp_path / "y.json", SHAPE, "Make it again")
    (tmp_path / "z.json").write_text('{"scores": ')
    with pytest.raises(DataError, match=r"z\.json is damaged: .*Make it again"):
        read(tmp_path / "z.json", SHAPE, "Make it again")
