"""Costs add and multiply; what engines draw and trainings take is counted by whoever counts innermost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from selfimprove.costs import NOTHING, Cost, Given, count, counted

numbers = st.integers(0, 10**9)
costs = st.builds(Cost, **dict.fromkeys(Cost._fields, numbers))


@given(costs, costs, costs, st.integers(0, 99))
def test_costs_add_and_multiply_like_numbers(a: Cost, b: Cost, c: Cost, n: int) -> None:
    assert a + b == b + a and (a + b) + c == a + (b + c) and a + NOTHING == a
    assert n * (a + b) == n * a + b * n and 2 * a == a + a
    assert a.within(a + b) and ((a + b).within(a) == (b == NOTHING))


def test_a_draw_is_as_long_as_allowed() -> None:
    asked = Given(length=48)
    assert asked.draw(10) == Cost(completions=10, tokens=480)
    assert asked.draw(10, length=7) == Cost(completions=10, tokens=70)


def test_the_innermost_counts() -> None:
    count(Cost(steps=1))  # nobody counts
    with counted() as outer:
        count(Cost(steps=2))
        with counted() as inner:
            count(Cost(steps=3, scored=1))
        count(Cost(completions=4))
    count(Cost(steps=5))
    assert (outer.cost, inner.cost) == (Cost(steps=2, completions=4), Cost(steps=3, scored=1))
