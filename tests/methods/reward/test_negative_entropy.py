"""Minus entropy as a reward: 0 for certainty, lowest for uniform guesses, over all tokens or the last ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.reward.negative_entropy import NegativeEntropy
from selfimprove.records import Checkpoint, Rollout


@dataclass
class Digits(Fake):
    """Each digit of a text is a token with that much entropy."""

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        assert (checkpoint.path, statistic) == ("nowhere", "entropy")
        return [[float(digit) for digit in rollout.text] for rollout in rollouts]


@pytest.mark.parametrize(
    ("share", "scores"),
    [(1.0, [-3.0, -9.0, None, -5.5]), (0.5, [-4.0, -9.0, None, -7.5]), (0.1, [-5.0, -9.0, None, -9.0])],
)
def test_by_hand(make_context: Callable, make_rollout: Callable, share: float, scores: list) -> None:
    context = make_context(Digits(), start=Checkpoint(path="start"))
    group = [make_rollout(text) for text in ("135", "9", "", "23456789")]
    assert NegativeEntropy(last_share=share).rate([group, []], context) == [scores, []]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_it_lies_between_minus_log_n_and_0(make_context: Callable, make_rollout: Callable, weights: list) -> None:
    table = {f"#{i}": float(weight) for i, weight in enumerate(weights)}
    [[score]] = NegativeEntropy().rate([[make_rollout("#0")]], make_context(Fake({"S:3+5+8=": table})))
    assert -math.log(len(weights)) - 1e-9 <= score <= 1e-9
    if len(set(weights)) == 1:
        assert score == pytest.approx(-math.log(len(weights)), abs=1e-9)
