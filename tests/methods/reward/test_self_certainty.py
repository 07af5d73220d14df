"""Confidence as a reward: nothing for uniform guesses, more the surer the model is, and the same at every length."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.reward.self_certainty import SelfCertainty
from selfimprove.records import Checkpoint, Rollout


@dataclass
class Digits(Fake):
    """Each digit of a text is a token with that much self-certainty."""

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        assert (checkpoint.path, statistic) == ("nowhere", "self_certainty")
        return [[float(digit) for digit in rollout.text] for rollout in rollouts]


class Plain(Fake):
    """An engine that has log-probabilities only."""

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        raise RecipeError(f"engine.plain has no statistic {statistic!r}")


def test_the_mean_over_the_tokens_of_the_policy_that_drew_them(make_context: Callable, make_rollout: Callable) -> None:
    context = make_context(Digits(), start=Checkpoint(path="start"))
    groups = [[make_rollout("135"), make_rollout("9"), make_rollout("")], [make_rollout("24", "1+2")], []]
    assert SelfCertainty().rate(groups, context) == [[3.0, 9.0, None], [3.0], []]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_it_is_the_divergence_from_uniform(make_context: Callable, make_rollout: Callable, weights: list) -> None:
    table = {f"#{i}": float(weight) for i, weight in enumerate(weights)}
    [[score]] = SelfCertainty().rate([[make_rollout("#0")]], make_context(Fake({"S:3+5+8=": table})))
    uniform = 1 / len(weights)
    divergence = sum(uniform * math.log(uniform / (weight / sum(weights))) for weight in weights)
    assert score == pytest.approx(divergence, abs=1e-9) and score >= -1e-9
    if len(set(weights)) == 1:
        assert score == pytest.approx(0.0, abs=1e-9)


def test_a_surer_model_scores_higher(make_context: Callable, make_rollout: Callable) -> None:
    tables = [{"#6": weight, "#5": 1.0, "#4": 1.0} for weight in (1.0, 2.0, 8.0)]
    contexts = [make_context(Fake({"S:3+5+8=": table})) for table in tables]
    scores = [SelfCertainty().rate([[make_rollout("#6")]], context)[0][0] for context in contexts]
    assert scores == sorted(scores) and len(set(scores)) == 3


def test_an_engine_without_it_is_refused_in_one_line(make_context: Callable, make_rollout: Callable) -> None:
    with pytest.raises(RecipeError, match="no statistic 'self_certainty'"):
        SelfCertainty().rate([[make_rollout("#6")]], make_context(Plain()))
