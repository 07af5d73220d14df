"""The model's own likelihood as a reward: of the right weights, summed or per token, and blind to the reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.reward.sequence_logprob import SequenceLogprob
from selfimprove.records import Checkpoint, Rollout


@dataclass
class Scorer(Fake):
    """Each letter of a text is a token; `a` has log-probability -1, others -3; the start finds everything half as hard."""

    asked: list[Rollout] = field(default_factory=list)

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        assert statistic == "logprob"
        self.asked.extend(rollouts)
        factor = 0.5 if checkpoint.path == "start" else 1.0
        return [[factor * (-1.0 if letter == "a" else -3.0) for letter in rollout.text] for rollout in rollouts]


@pytest.mark.parametrize(
    ("options", "scores"),
    [
        ({}, [[-1.0, -2.0, None], [-1.5]]),
        ({"scorer": "current"}, [[-2.0, -4.0, None], [-3.0]]),
        ({"scorer": "current", "per_token": True}, [[-1.0, -2.0, None], [-3.0]]),
        ({"per_token": True}, [[-0.5, -1.0, None], [-1.5]]),
    ],
)
def test_by_hand(make_context: Callable, make_rollout: Callable, options: dict, scores: list) -> None:
    engine = Scorer()
    context = make_context(engine, start=Checkpoint(path="start"))
    groups = [[make_rollout("aa"), make_rollout("ab"), make_rollout("")], [make_rollout("b", "1+2")]]
    assert SequenceLogprob(**options).rate(groups, context) == scores
    assert all(rollout.prompt.answer is None for rollout in engine.asked)


def test_a_sum_prefers_short_completions_and_a_mean_does_not(make_context: Callable, make_rollout: Callable) -> None:
    groups = [[make_rollout("aaaa"), make_rollout("b")]]
    [[long, short]] = SequenceLogprob().rate(groups, make_context(Scorer()))
    assert short > long
    [[long, short]] = SequenceLogprob(per_token=True).rate(groups, make_context(Scorer()))
    assert long > short


def test_the_most_likely_completion_of_a_table_scores_highest(make_context: Callable, make_rollout: Callable) -> None:
    context = make_context(Fake({"S:3+5+8=": {"#6": 0.7, "#5": 0.3}}))
    [scores] = SequenceLogprob().rate([[make_rollout("#5"), make_rollout("#6")]], context)
    assert scores == [pytest.approx(math.log(0.3)), pytest.approx(math.log(0.7))]


def test_an_unknown_scorer_is_refused() -> None:
    with pytest.raises(RecipeError, match="must be start or current"):
        SequenceLogprob(scorer="teacher")
