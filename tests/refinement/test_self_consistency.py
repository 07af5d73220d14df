"""Voting: it lifts a model that is right more often than not, and drags down one that is not."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from selfimprove.refinement.self_consistency import SelfConsistency


def plurality(p: float, n: int) -> float:
    """P(Bin(n, p) > n / 2): two answers, an odd number of votes."""
    return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n // 2 + 1, n + 1))


@pytest.mark.parametrize(("p", "samples"), [(0.6, 5), (0.6, 15), (0.4, 5), (0.4, 15), (0.5, 5)])
def test_with_two_answers_accuracy_is_the_binomial_plurality(
    make_policy: Callable, make_engine: Callable, make_context: Callable, classroom: Callable, p: float, samples: int
) -> None:
    problems = make_context().problems(1200, 1)
    answers = {prompt.prompt[-1]["content"]: {f"#{prompt.answer}": p, "#x1": 1 - p} for prompt in problems}
    answers = {text: {good if good != "#x1" else bad: w for good, w in row.items()} for text, row in answers.items() for bad in ["x"]}
    policy = make_policy(make_engine(answers), SelfConsistency(samples=samples, temperature=1.0))
    right = sum(rollout.text == f"#{rollout.prompt.answer}" for rollout in policy.answer(problems)) / len(problems)
    expected = plurality(p, samples)
    assert abs(right - expected) < 3 * math.sqrt(expected * (1 - expected) / len(problems))
