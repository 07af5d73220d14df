"""The highest score wins, and nothing but the order of the scores matters."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import UserError
from selfimprove.interfaces import Sampling
from selfimprove.methods.refinement.best_of_n import BestOfN

scores = st.lists(st.integers(-50, 0), min_size=1, max_size=10)


@pytest.fixture
def best(make_policy: Callable, given_engine: Callable, make_rollout: Callable) -> Callable[..., int]:
    """`best([(-2.0, 4), ...])`: the place of the winner among completions of (log-probability, tokens)."""

    def run(rows: list[tuple[float, int]], **options: bool) -> int:
        group = [make_rollout(str(i), logprobs={"sum": s, "count": n}) for i, (s, n) in enumerate(rows)]
        [rollout] = make_policy(given_engine([group]), BestOfN(**options)).answer([group[0].prompt])
        return int(rollout.text)

    return run


@given(scores, st.sampled_from([lambda s: 3 * s - 7, lambda s: s**3, lambda s: math.exp(s / 10), lambda s: s / 1e6]))
def test_a_monotone_change_of_the_scores_changes_nothing(best: Callable, values: list[int], change: Callable) -> None:
    assert best([(change(value), 1) for value in values]) == best([(value, 1) for value in values])


@given(scores)
def test_the_highest_wins_and_of_equal_ones_the_first(best: Callable, values: list[int]) -> None:
    assert best([(value, 1) for value in values]) == values.index(max(values))
    assert best([(value, 5) for value in values]) == best([(value, 5) for value in values], per_token=False)


def test_per_token_does_not_punish_length(best: Callable) -> None:
    rows = [(-3.0, 2), (-4.0, 8)]
    assert best(rows) == 1 and best(rows, per_token=False) == 0
    assert best([(-1.0, 0), (-2.0, 1)]) == 0  # an empty completion counts as one token


def test_more_samples_give_a_likelier_answer(
    make_policy: Callable, make_engine: Callable, make_context: Callable
) -> None:
    problems = make_context().problems(100, 1)
    table = {prompt.prompt[-1]["content"]: {str(i): 2.0**-i for i in range(8)} for prompt in problems}

    def mean_place(samples: int) -> float:
        policy = make_policy(make_engine(table), BestOfN(samples=samples, temperature=1.0))
        return sum(int(rollout.text) for rollout in policy.answer(problems)) / len(problems)

    assert mean_place(16) < 0.05 < mean_place(2) < mean_place(1)


def test_the_options_reach_the_engine(make_policy: Callable, make_engine: Callable, make_prompt: Callable) -> None:
    engine = make_engine()
    make_policy(engine, BestOfN(samples=3, temperature=0.9)).answer([make_prompt()])
    assert [(n, sampling) for n, sampling, _ in engine.calls] == [(3, Sampling(temperature=0.9))]


def test_an_engine_without_log_probabilities_is_a_users_mistake(
    make_policy: Callable, given_engine: Callable, make_rollout: Callable
) -> None:
    group = [make_rollout("a"), make_rollout("b")]
    with pytest.raises(UserError, match="log-probabilities"):
        make_policy(given_engine([group]), BestOfN()).answer([group[0].prompt])
