"""The top of the batch: exact in size, nothing left out that scores higher, order kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.selection.top_k import TopK

SCORES = [0.2, None, -1.0, 0.9, 0.2, 0.5]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [3, 5]),  # half of five, rounded to even
        ({"rows": 3}, [0, 3, 5]),  # of equal scores the earlier one
        ({"rows": 99}, [0, 2, 3, 4, 5]),
        ({"rows": 0}, []),
        ({"share": 1.0}, [0, 2, 3, 4, 5]),
        ({"share": 0.0}, []),
    ],
)
def test_by_hand(make_context: Callable, make_rollout: Callable, options: dict, kept: list[int]) -> None:
    offered = [make_rollout(str(i), reward=score) for i, score in enumerate(SCORES)]
    assert [int(r.text) for r in TopK(**options).select(offered, make_context())] == kept


@given(st.lists(st.none() | st.sampled_from([-1.0, 0.0, 0.5, 1.0]), max_size=12), st.integers(0, 13))
def test_nothing_better_is_left_out(make_context: Callable, make_rollout: Callable, scores: list, rows: int) -> None:
    offered = [make_rollout(str(i), reward=score) for i, score in enumerate(scores)]
    kept = list(TopK(rows=rows).select(offered, make_context()))
    left = [r.reward for r in offered if r.reward is not None and r not in kept]
    assert len(kept) == min(rows, len(kept) + len(left)) and kept == [r for r in offered if r in kept]
    assert not kept or not left or min(r.reward for r in kept) >= max(left)
