"""Values of a recipe against the options that they are for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from selfimprove.bounds import Bounds
from selfimprove.errors import RecipeError, listed
from selfimprove.recipe.option_values import check_ranges, check_types, refuse


@dataclass
class Options:
    n: int = 1
    x: float = 1.0
    word: str = ""
    on: bool = False
    maybe: int | None = None
    names: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    bounds: dict[str, float] = field(default_factory=dict)
    anything: Any = None


@pytest.mark.parametrize(
    "given",
    [
        *({"n": 0}, {"n": -7}, {"n": "12"}, {"x": 1}, {"x": 1e-4}, {"x": "1e-4"}, {"word": "no"}, {"word": "1.10"}),
        *(
            {"on": True},
            {"on": "no"},
            {"maybe": None},
            {"maybe": 3},
            {"names": []},
            {"names": ["a"]},
            {"sizes": [1, 2]},
        ),
        *({"bounds": {"a": 1}}, {"anything": [1, {"a": None}]}, {"n": "???"}, {"not_an_option": 1j}),
    ],
    ids=str,
)
def test_what_fits(given: dict[str, Any]) -> None:
    assert check_types(given, Options, "s.m.") == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": "eight"}, "s.m.n: found 'eight' (a text), expected a whole number"),
        ({"n": 2.0}, "s.m.n: found 2.0 (a number), expected a whole number"),
        ({"n": True}, "s.m.n: found True (true or false), expected a whole number"),
        ({"n": None}, "s.m.n: found None (nothing), expected a whole number"),
        ({"n": "007"}, "s.m.n: found '007' (a text), expected a whole number; without the leading zero it is 7"),
        ({"x": "fast"}, "s.m.x: found 'fast' (a text), expected a number"),
        ({"x": "nan"}, "s.m.x: found 'nan' (a text), expected a number"),
        ({"x": False}, "s.m.x: found False (true or false), expected a number"),
        ({"word": 3.1}, "s.m.word: found 3.1 (a number), expected a text; put it in quotes"),
        ({"word": True}, "s.m.word: found True (true or false), expected a text; put it in quotes"),
        ({"word": ["a"]}, "s.m.word: found ['a'] (a list), expected a text"),
        ({"on": 0.5}, "s.m.on: found 0.5 (a number), expected true or false"),
        ({"maybe": "x"}, "s.m.maybe: found 'x' (a text), expected a whole number or null"),
        ({"names": "a"}, "s.m.names: found 'a' (a text), expected a list of texts"),
        ({"names": [1]}, "s.m.names: found [1] (a list), expected a list of texts"),
        ({"sizes": [1, "x"]}, "s.m.sizes: found [1, 'x'] (a list), expected a list of whole numbers"),
        ({"bounds": [1]}, "s.m.bounds: found [1] (a list), expected a mapping"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_said_with_place_found_and_expected(given: dict[str, Any], said: str) -> None:
    assert check_types(given, Options, "s.m.") == [said]


def test_a_long_value_is_cut() -> None:
    [said] = check_types({"n": "x" * 5000}, Options)
    assert len(said) < 120


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": 1, "x": 0.0, "unnamed": -5, "maybe": True, "word": "5"}, []),
        ({"n": 0}, ["n is 0; it must be at least 1"]),
        ({"x": -0.1}, ["x is -0.1; it must be 0 to 1"]),
        ({"n": 0, "x": 2}, ["n is 0; it must be at least 1", "x is 2; it must be 0 to 1"]),
        ({"n": 10**16}, ["n is 10000000000000000; it must be at least 1, and at most 1e+15"]),
        ({"unnamed": float("nan")}, ["unnamed is nan; it must be -1e+15 to 1e+15"]),
        ({"unnamed": 10**16}, ["unnamed is 10000000000000000; it must be -1e+15 to 1e+15"]),
    ],
    ids=str,
)
def test_ranges(given: dict[str, Any], said: list[str]) -> None:
    assert check_ranges(given, {"n": Bounds(1), "x": Bounds(0, 1)}) == said


def test_many_faults_are_one_error_with_the_first_of_them() -> None:
    with pytest.raises(RecipeError, match="^f: 0; 1; 2; 3; 4; and 4 more$"):
        refuse([str(number) for number in range(9)], "f")
    refuse([], "f")


def test_a_message_lists_the_first_faults_and_how_many_more_there_are() -> None:
    assert listed(["one", "two"]) == "one; two"
    many = listed([f"fault {i}" for i in range(9)])
    assert many == "fault 0; fault 1; fault 2; fault 3; fault 4; and 4 more"
    assert len(listed(["x" * 5000] * 9)) < 1600
