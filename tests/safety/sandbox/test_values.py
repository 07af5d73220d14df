"""Values cross with their types, and a stranger's JSON gives built-in values or nothing."""

from __future__ import annotations

import collections
import enum
import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.safety.sandbox.values import DEPTH, ValueRefused, decode, encode, loads, same

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
hashable = st.recursive(plain, lambda part: st.lists(part, max_size=3).map(tuple) | st.frozensets(part, max_size=3))
anything = st.recursive(
    hashable | st.complex_numbers(allow_nan=False),
    lambda part: (
        st.lists(part, max_size=4)
        | st.lists(part, max_size=3).map(tuple)
        | st.dictionaries(hashable, part, max_size=3)
        | st.sets(hashable, max_size=3)
    ),
    max_leaves=12,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from("ltsfdbcni"),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=2), part, max_size=2),
    max_leaves=12,
)


def crossed(value: Any) -> Any:
    return decode(loads(json.dumps(encode(value))))


@given(anything)
def test_a_value_comes_out_as_it_went_in(value: Any) -> None:
    assert same(value, crossed(value)) and repr(type(crossed(value))) == repr(type(value))


@given(json_values)
def test_whatever_json_comes_the_result_is_built_in_or_refused(coded: Any) -> None:
    try:
        value = decode(coded)
    except ValueRefused:
        return
    assert same(value, value) or "nan" in repr(value)
    assert type(value).__module__ == "builtins"


DIFFERENT = [
    5,
    5.0,
    True,
    "5",
    None,
    [5],
    (5,),
    {5},
    frozenset({5}),
    {5: 5},
    {5: 5.0},
    {5.0: 5},
    b"5",
    5j,
    [True],
    ((5,),),
]


@pytest.mark.parametrize("one", DIFFERENT, ids=repr)
@pytest.mark.parametrize("other", DIFFERENT, ids=repr)
def test_types_are_kept_apart(one: Any, other: Any) -> None:
    assert same(one, crossed(other)) == (one is other)


def test_nan_equals_nothing_and_infinity_itself() -> None:
    assert math.isnan(crossed(math.nan)) and not same(math.nan, crossed(math.nan))
    assert not same({math.nan}, {math.nan}) and not same([math.nan], crossed([math.nan]), tolerance=1.0)
    assert same(-math.inf, crossed(-math.inf)) and not same(math.inf, crossed(-math.inf))


def test_long_numbers_and_half_characters_cross() -> None:
    for value in (10**5000, -(10**5000), 2**4000, 2**4000 - 1, "\ud800", "\0"):
        assert crossed(value) == value


def test_a_tolerance_is_for_floats_only() -> None:
    assert same([1.0, {"a": 2.0}], [1.0 + 1e-9, {"a": 2.0 - 1e-9}], 1e-6)
    assert not same(1.0, 1.1, 1e-6) and not same(1.0, 1.0 + 1e-9) and not same(1, 1.0, 1.0) and not same(1, 2, 9.0)


def test_subclasses_are_sent_as_what_they_are_made_of() -> None:
    class Liar(int):
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

        def __repr__(self) -> str:
            return "6"

        def __index__(self) -> int:
            return 6

        __int__ = __add__ = __str__ = __repr__

    class Hollow(list):
        def __iter__(self) -> Any:
            return iter([6])

    class Colour(enum.IntEnum):
        RED = 5

    assert type(crossed(Liar(5))) is int and crossed(Liar(5)) == 5
    assert crossed(Hollow([5])) == [5] and same(crossed(Colour.RED), 5)
    assert same(crossed(collections.Counter("aab")), {"a": 2, "b": 1})
    assert same(crossed(collections.namedtuple("P", "x y")(1, 2)), (1, 2))


@pytest.mark.parametrize(
    "value",
    [object(), iter([]), print, range(3), (1).__class__, {1: object()}],
    ids=("object", "iterator", "function", "range", "class", "inside"),
)
def test_other_types_do_not_cross(value: Any) -> None:
    with pytest.raises(ValueRefused):
        encode(value)


M = (1 << 61) - 1
"""Integers that differ by a multiple of this have the same hash."""
SUBSETS = [["f", *(M * (2 * place + (number >> place & 1)) for place in range(6))] for number in range(64)]
"""Frozensets with the same hash, none equal."""


@pytest.mark.parametrize(
    "coded",
    [
        ["s", *(place * M for place in range(20_000))],
        ["d", *([place * M, 0] for place in range(20_000))],
        ["l", *(["f", *(place * M for place in range(1500))] for _ in range(40))],
        ["s", *(["t", place * M, 1] for place in range(20_000))],
        ["s", *(["f", *SUBSETS, place * M] for place in range(64))],
        ["s", *([1] * 20_000)],
    ],
    ids=lambda coded: str(coded)[:30],
)
def test_keys_that_collide_take_no_time(coded: Any) -> None:
    began = time.process_time()
    with pytest.raises(ValueRefused):
        decode(coded)
    assert time.process_time() - began < 10, "it took half a minute once"


@pytest.mark.long
def test_honest_sets_and_dicts_of_any_size_cross() -> None:
    grid = {(x, y): x * y for x in range(-100, 100) for y in range(-50, 50)}  # -1 and -2 have the same hash
    for value in (grid, set(grid), set(range(50_000)), {frozenset({x, -x}) for x in range(500)}, {1 << 70, 1.5, "1"}):
        assert same(value, crossed(value))


def test_depth_is_bounded_on_both_sides() -> None:
    deep: Any = 0
    for _ in range(DEPTH + 2):
        deep = [deep]
    with pytest.raises(ValueRefused, match="nested"):
        encode(deep)
    coded: Any = 0
    for _ in range(DEPTH + 2):
        coded = ["l", coded]
    with pytest.raises(ValueRefused):
        decode(coded)
    around: Any = []
    around.append(around)
    with pytest.raises(ValueRefused):
        encode(around)


@pytest.mark.parametrize(
    "line",
    ["", "[", "NaN", "[Infinity]", "[" * 200_000, '{"a": 1', b"\xff", "9" * 5000],
    ids=lambda line: repr(line)[:20],
)
def test_what_is_no_json_is_refused(line: str | bytes) -> None:
    with pytest.raises(ValueRefused):
        loads(line)


@pytest.mark.parametrize(
    "coded",
    [
        {"a": 1}, [], [1], ["x"], ["d", 1], ["d", [1]], ["d", [1, 2, 3]], ["d", [["l"], 1]], ["s", ["l"]], ["b", "xyz"],
        ["b"], ["c", 1], ["c", ["s"], 1], ["n", "1.0"], ["n"], ["i", "zz"], ["i", 5], ["i"], [["l"]],
        json.loads('["c",' * 600 + "1" + ",1]" * 600), json.loads('["l",' * 600 + "1" + "]" * 600),
    ],
    ids=lambda coded: repr(coded)[:40],
)  # fmt: skip
def test_what_is_no_value_is_refused(coded: Any) -> None:
    with pytest.raises(ValueRefused):
        decode(coded)
