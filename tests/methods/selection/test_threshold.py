"""The rejection step: what is kept is right as far as the score is, and no problem fills the training set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.selection.threshold import Threshold

scored = st.lists(
    st.tuples(st.sampled_from(["1+2", "3+5", "9+9"]), st.none() | st.sampled_from([-1.0, 0.0, 0.5, 1.0])), max_size=20
)


def test_with_the_verifier_as_reward_every_kept_label_is_right(
    make_context: Callable, make_engine: Callable, classroom: Callable
) -> None:
    problems = make_context().problems(50, 1)
    context = make_context(make_engine(classroom(problems, 0.4)))
    offered = context.reward([r for group in context.policy.sample(problems, 8) for r in group])
    kept = Threshold().select(offered, context)
    assert 0 < len(kept) < len(offered)
    assert all(context.verify(rollout.prompt, rollout.text) == 1.0 for rollout in kept)
    assert len(kept) == sum(rollout.reward == 1.0 for rollout in offered)  # and no right one is lost


@pytest.mark.parametrize(
    ("min_score", "kept"), [(1.0, [3]), (0.5, [1, 3]), (0.7, [3]), (0.0, [1, 2, 3]), (-2.0, [0, 1, 2, 3]), (1.1, [])]
)
def test_the_bound_itself_is_kept_and_no_score_is_not_zero(
    make_context: Callable, make_rollout: Callable, min_score: float, kept: list[int]
) -> None:
    scores = [-1.0, 0.5, 0.0, 1.0, None]
    offered = [make_rollout(str(i), reward=score) for i, score in enumerate(scores)]
    assert [int(r.text) for r in Threshold(min_score=min_score).select(offered, make_context())] == kept


def test_a_sum_of_weights_that_rounding_made_smaller_is_kept(make_context: Callable, make_rollout: Callable) -> None:
    offered = [make_rollout(reward=sum([0.1] * 10))]  # 0.9999999999999999
    assert list(Threshold(min_score=1.0).select(offered, make_context())) == offered


def test_of_each_problem_the_best_are_kept_in_the_order_they_came(
    make_context: Callable, make_rollout: Callable
) -> None:
    offered = [
        make_rollout("a", "1+2", reward=0.6),
        make_rollout("b", "3+5", reward=0.7),
        make_rollout("c", "1+2", reward=0.9),
        make_rollout("d", "1+2", reward=0.8),
        make_rollout("e", "1+2", reward=0.8),
    ]
    kept = Threshold(min_score=0.0, per_prompt=2).select(offered, make_context())
    assert [rollout.text for rollout in kept] == ["b", "c", "d"]  # of equal scores the earlier one


@given(scored, st.none() | st.integers(1, 3), st.sampled_from([0.0, 0.5, 1.0]))
def test_the_cap_holds_for_every_problem(
    make_context: Callable, make_rollout: Callable, rows: list, cap: int | None, low: float
) -> None:
    offered = [make_rollout(str(i), key, reward=score) for i, (key, score) in enumerate(rows)]
    kept = list(Threshold(min_score=low, per_prompt=cap).select(offered, make_context()))
    passed = [r for r in offered if r.reward is not None and r.reward >= low]
    counts, possible = Counter(r.prompt.key for r in kept), Counter(r.prompt.key for r in passed)
    assert counts == {key: min(n, cap or n) for key, n in possible.items()}
    assert kept == [r for r in passed if r in kept]
    for key in counts:
        worst = min(r.reward for r in kept if r.prompt.key == key)
        assert all(r.reward <= worst for r in passed if r.prompt.key == key and r not in kept)
