"""The scale of three marks: ordered, and the same as the verifier's where everything can be read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.reward.graded import Graded


def test_right_wrong_and_unreadable(make_context: Callable, make_rollout: Callable) -> None:
    groups = [[make_rollout("3+5=8;8+8=6#6"), make_rollout("#5"), make_rollout("3+5=8"), make_rollout("")], []]
    assert Graded().rate(groups, make_context()) == [[1.0, -0.5, -1.0, -1.0], []]
    assert Graded(right=2, wrong=0, unreadable=0).rate(groups, make_context()) == [[2.0, 0.0, 0.0, 0.0], []]


def test_parts_of_a_mark_and_unreadable_references(make_context: Callable, make_rollout: Callable) -> None:
    marks = {"?": None, "half#1": 0.5, "half": 0.5, "none#1": 0.0, "none": 0.0}
    group = [make_rollout(text) for text in marks]
    context = make_context(verify=lambda prompt, text: marks[text])
    assert Graded().rate([group], context) == [[None, 0.25, 0.25, -0.5, -1.0]]


def test_a_scale_upside_down_is_refused() -> None:
    with pytest.raises(RecipeError, match="right >= wrong >= unreadable"):
        Graded(wrong=-2.0)
