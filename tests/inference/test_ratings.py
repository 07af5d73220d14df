"""Grades from the digits' probabilities and from judgements, with the fake engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.errors import RecipeError
from selfimprove.inference import ratings
from selfimprove.methods.engine.fake import Fake


def test_digits_are_normalized_and_blanks_do_not_count(make_context: Callable, make_rollout: Callable) -> None:
    row = make_rollout("#6")
    asked = f"grade {row.prompt.prompt[-1]['content']} {row.text}"
    engine = Fake(answers={asked: {"1": 0.1, " 3": 0.2, "3": 0.1, "well": 0.6}}, default="no")
    [[grades, none]] = ratings.graded([row], make_context(engine), "grades", ["grade {problem} {0}", "x"], "123", 1)
    assert grades == pytest.approx([0.25, 0.0, 0.75]) and none is None
    assert ratings.expected(grades, 1, 3) == pytest.approx(2.5)
    assert ratings.expected([1 / 6] * 6, 1, 6) == pytest.approx(3.5)
    assert ratings.expected([0, 0, 1], 0, 5) == 5


def test_verdicts_are_counted(make_context: Callable, make_rollout: Callable) -> None:
    context, row = make_context(Fake(default="#y")), make_rollout("#6")
    assert ratings.graded([row], context, "verdict", ["x"], "", 3) == [[[0.0, 1.0]]]
    assert ratings.graded([row], make_context(Fake(default="?")), "verdict", ["x"], "", 3) == [[None]]
    with pytest.raises(RecipeError, match="form=words is none of grades, verdict"):
        ratings.check("words", "form")
