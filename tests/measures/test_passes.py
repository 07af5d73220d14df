"""Passes over places: each once before any comes again, and a pass goes on from the state alone."""

from __future__ import annotations

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from selfimprove.interfaces import SamplerPool
from selfimprove.measures.passes import onward
from selfimprove.records import Prompt


def pool(size: int, seed: int = 0, state: dict[str, object] | None = None) -> SamplerPool:
    problems = [Prompt(prompt=[{"role": "user", "content": str(n)}], answer="", key=str(n)) for n in range(size)]
    return SamplerPool(problems=problems, state=state or {}, random=random.Random(seed))


@given(st.integers(1, 20), st.integers(1, 7), st.integers(0, 99))
def test_each_place_comes_once_before_any_comes_again(size: int, k: int, seed: int) -> None:
    of = pool(size, seed)
    drawn = [place for _ in range(3 * size) for place in onward(of, k)]
    counts = [drawn[: size * (len(drawn) // size)].count(place) for place in range(size)]
    assert max(counts) - min(counts) <= 1
    first = drawn[:size] if size % min(k, size) == 0 else drawn[: size - size % min(k, size)]
    assert len(set(first)) == len(first)


@given(st.integers(1, 20), st.integers(1, 30), st.sets(st.integers(0, 19)))
def test_a_step_has_no_place_twice_and_none_that_is_left_out(size: int, k: int, without: set[int]) -> None:
    of = pool(size)
    there = {place for place in range(size) if place not in without}
    for _ in range(5):
        step = onward(of, k, without)
        assert len(step) == len(set(step)) == min(k, len(there)) and set(step) <= there


def test_the_state_alone_continues_a_pass() -> None:
    whole = pool(10)
    before = onward(whole, 4)
    stopped = pool(10, seed=1, state=json.loads(json.dumps(whole.state)))
    after = onward(stopped, 6)
    assert sorted([*before, *after]) == list(range(10))
    assert onward(whole, 6) == after
