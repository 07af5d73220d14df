"""How much made texts repeat themselves, and how far they are from the seeds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.measures.synthesis import drift, evenness, variety

TEXTS = st.lists(st.text(alphabet="ab ", min_size=1, max_size=6), max_size=6)


def test_by_hand() -> None:
    assert evenness("aabb") == pytest.approx(1 / 2)  # one bit of two
    assert evenness("abcd") == 1.0 and evenness("aaaa") == 0.0 and evenness("a") == 0.0 and evenness("") == 0.0
    assert variety(["one two three", "one two four"]) == pytest.approx(1.5 / 2)  # one pair of words comes twice
    assert variety(["12+34"], 1) == 1.0  # characters, where there are no spaces
    assert drift(["a b"], ["a b"]) == 0.0 and drift(["a b"], ["c d"]) == 1.0
    assert drift(["a b"], ["a c"]) == pytest.approx(0.5)  # half of the words are shared
    assert drift([], ["a b"]) == drift(["a b"], []) == 0.0


@given(TEXTS, TEXTS)
def test_both_are_shares_and_drift_has_no_direction(one: list[str], other: list[str]) -> None:
    assert 0 <= variety(one) <= 1 + 1e-9
    assert 0 <= drift(one, other) <= 1 and drift(one, other) == pytest.approx(drift(other, one))
