"""Labels of frozen weights: what the policy says of itself moves nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from selfimprove.interfaces import Log, Sampling
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.reward.frozen_vote import FrozenVote
from selfimprove.records import Checkpoint, Prompt, Rollout


@dataclass
class Two(Fake):
    """The start's votes are prepared, in order; any other checkpoint must not be asked."""

    said: list[str] = field(default_factory=list)
    asked: list[Prompt] = field(default_factory=list)

    def sample(
        self, checkpoint: Checkpoint, prompts: Sequence[Prompt], n: int, sampling: Sampling, seed: int, log: Log
    ) -> list[list[Rollout]]:
        assert checkpoint.path == "start"
        self.asked.extend(prompts)
        return [
            [Rollout(prompt=p, completion=[{"role": "assistant", "content": text}]) for text in self.said[:n]]
            for p in prompts
        ]


@pytest.mark.parametrize(
    ("said", "options", "scores"),
    [
        (["#1", "#1", "#2", "lost"], {}, [1.0, 0.0, 0.0]),
        (["#2", "#1", "#2", "lost"], {}, [0.0, 1.0, 0.0]),  # although the policy says 1 three times of four
        (["#1", "#2", "lost", "lost"], {}, [None] * 3),
        (["lost"] * 4, {}, [None] * 3),
        (["#1", "#1", "#2", "lost"], {"min_agreement": 0.5}, [1.0, 0.0, 0.0]),
        (["#1", "#1", "#2", "lost"], {"min_agreement": 0.51}, [None] * 3),
    ],
)
def test_by_hand(make_context: Callable, make_rollout: Callable, said: list, options: dict, scores: list) -> None:
    engine = Two(said=said)
    context = make_context(engine, start=Checkpoint(path="start"))
    group = [make_rollout("1+0=1#1"), make_rollout("#2"), make_rollout("lost")]
    assert FrozenVote(votes=4, **options).rate([group, []], context) == [scores, []]
    assert len(engine.asked) == 1 and engine.asked[0].answer is None


def test_votes_of_a_good_start_make_right_labels(
    make_context: Callable, make_engine: Callable, classroom: Callable
) -> None:
    problems = make_context().problems(40, 1)
    context = make_context(make_engine(classroom(problems, 0.7)))
    groups = context.policy.sample(problems, 4)
    marks = FrozenVote(votes=33).rate(groups, context)
    pairs = [
        (mark, context.verify(r.prompt, r.text))
        for g, row in zip(groups, marks, strict=True)
        for r, mark in zip(g, row, strict=True)
    ]
    assert sum(mark == truth for mark, truth in pairs) > 0.95 * len(pairs)
