"""P(True): the probability of the verdict after the same steps, and nothing where there is no verdict."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.reward.p_true import PTrue, _share
from selfimprove.problems.answers import judgement
from selfimprove.records import Checkpoint, Rollout

GOOD, BAD = "3+5=8;8+8=6#6", "3+5=9;9+8=7#7"


@dataclass
class Sure(Fake):
    """Takes every token for certain but the last: `y` has a probability of 0.8 after a right step, else of 0.1."""

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: list[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        assert statistic == "logprob" and checkpoint.path == "nowhere"
        odds = [0.8 if "8:8y" in r.text else 0.1 for r in rollouts]
        shares = [p if r.text.endswith("y") else 1 - p for p, r in zip(odds, rollouts, strict=True)]
        return [[-2.0, -3.0, math.log(share)] for share in shares]


@pytest.fixture
def engine() -> Sure:
    asked = {GOOD: {"3+5=8:8y;8+8=6:6y#y": 1.0}, BAD: {"3+5=9:8n;9+8=7:7y#n": 1.0}}
    return Sure({f"J:3+5+8={attempt}|": said for attempt, said in asked.items()}, "lost")


def test_the_probability_of_yes_by_hand(engine: Sure, make_context: Callable, make_rollout: Callable) -> None:
    context = make_context(engine)
    groups = [[make_rollout(GOOD), make_rollout(BAD), make_rollout("no idea")], [make_rollout(GOOD)], []]
    assert PTrue().rate(groups, context) == [[pytest.approx(0.8), pytest.approx(0.1), None], [pytest.approx(0.8)], []]
    assert context.log.metrics == {"p_true/unread": 0.25}


def test_a_table_s_own_probability(make_context: Callable, make_rollout: Callable) -> None:
    context = make_context(Fake({f"J:3+5+8={GOOD}|": {"#y": 0.35, "#n": 0.65}}))
    assert PTrue(frozen=False).rate([[make_rollout(GOOD)]], context) == [[pytest.approx(0.35)]]


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("First I took it for #n.\nIt holds.\n**#y**", 0.5),  # the last one counts, and what stands around it stays
        ("#y\nThank you", None),
        ("#n or #y", None),
        ("Right.", None),
    ],
)
def test_judgements_in_words(make_context: Callable, make_rollout: Callable, said: str, score: float | None) -> None:
    class Roles:
        judge = staticmethod(lambda prompt, attempt: [{"role": "user", "content": attempt}])
        read_judgement = staticmethod(judgement)

    seen: list[str] = []

    class Even(Fake):
        def logprobs_of(
            self, checkpoint: object, rollouts: list[Rollout], statistic: str = "logprob"
        ) -> list[list[float]]:
            seen.extend(rollout.text for rollout in rollouts)
            return [[-1.0] for _ in rollouts]

    context = make_context(Even({GOOD: {said: 1.0}}), roles=Roles())
    assert PTrue().rate([[make_rollout(GOOD)]], context) == [[score]]
    assert seen == ([] if score is None else [said, said.replace("**#y**", "**#n**")])


def test_nothing_to_judge_asks_nothing(make_context: Callable, make_engine: Callable) -> None:
    context = make_context(make_engine())
    assert PTrue().rate([], context) == [] and context.policy.engine.calls == []


@given(st.floats(-1e6, 0), st.floats(-1e6, 0))
def test_the_two_verdicts_share_a_whole(yes: float, no: float) -> None:
    assert _share(yes, no) + _share(no, yes) == pytest.approx(1)
    assert _share(yes, no) >= 0.5 or yes < no
