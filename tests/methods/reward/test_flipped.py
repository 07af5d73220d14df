"""The control prefers wrong answers, and only those."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from selfimprove.methods.reward.flipped import Flipped
from selfimprove.methods.selection.threshold import Threshold


def test_wrong_and_unreadable_answers_score_1(make_context: Callable, make_rollout: Callable) -> None:
    groups = [[make_rollout("3+5=8;8+8=6#6"), make_rollout("#5"), make_rollout("lost")], []]
    assert Flipped().rate(groups, make_context()) == [[0.0, 1.0, 1.0], []]


def test_a_part_of_a_mark_is_turned_around_and_none_stays_none(make_context: Callable, make_rollout: Callable) -> None:
    def verify(prompt: object, text: str) -> float | None:
        return None if text == "?" else 0.25

    assert Flipped().rate([[make_rollout("?"), make_rollout("x")]], make_context(verify=verify)) == [[None, 0.75]]


def test_what_training_would_get_is_all_wrong(
    make_context: Callable, make_engine: Callable, classroom: Callable
) -> None:
    problems = make_context().problems(50, 1)
    context = make_context(make_engine(classroom(problems, 0.6)))
    groups = context.policy.sample(problems, 8)
    scores = Flipped().rate(groups, context)
    offered = [
        replace(r, reward=s) for g, marks in zip(groups, scores, strict=True) for r, s in zip(g, marks, strict=True)
    ]
    kept = Threshold().select(offered, context)
    assert 0 < len(kept) < len(offered)
    assert {context.verify(rollout.prompt, rollout.text) for rollout in kept} == {0.0}
