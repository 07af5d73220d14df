"""The task's rule as a reward: 1, 0, and None where the reference cannot be read."""

from __future__ import annotations

from collections.abc import Callable

from selfimprove.methods.reward.verifier import Verifier


def test_right_is_1_and_wrong_is_0(make_context: Callable, make_rollout: Callable) -> None:
    groups = [
        [make_rollout("3+5=8;8+8=6#6"), make_rollout("#6"), make_rollout("#5"), make_rollout("6"), make_rollout("")],
        [make_rollout("#3", "1+2")],
        [],
    ]
    assert Verifier().rate(groups, make_context()) == [[1.0, 1.0, 0.0, 0.0, 0.0], [1.0], []]


def test_what_cannot_be_marked_is_none_and_not_0(make_context: Callable, make_rollout: Callable) -> None:
    def verify(prompt: object, text: str) -> float | None:
        return None if text == "?" else 0.25

    assert Verifier().rate([[make_rollout("?"), make_rollout("x")]], make_context(verify=verify)) == [[None, 0.25]]
