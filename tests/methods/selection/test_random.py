"""The chance baseline: exact in size, blind to scores, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.selection.random import Random


@given(st.integers(0, 12), st.floats(0, 1), st.none() | st.integers(0, 15))
def test_so_many_rows_in_order(make_context: Callable, make_rollout: Callable, n: int, share: float, rows: int) -> None:
    offered = [make_rollout(str(i)) for i in range(n)]
    kept = list(Random(share=share, rows=rows).select(offered, make_context()))
    assert len(kept) == (round(share * n) if rows is None else min(rows, n))
    assert kept == [rollout for rollout in offered if rollout in kept]


def test_scores_do_not_matter_and_the_seed_does(make_context: Callable, make_rollout: Callable) -> None:
    def kept(scores: list[float], seed: int = 7) -> list[str]:
        offered = [make_rollout(str(i), reward=score) for i, score in enumerate(scores)]
        return [rollout.text for rollout in Random().select(offered, make_context(seed=seed))]

    assert kept([1.0] * 20 + [0.0] * 20) == kept([0.0] * 20 + [1.0] * 20) != kept([0.0] * 40, seed=8)
