"""Problems with the answer that their completions agree on: the reward then marks by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.selection.relabel import Relabel
from selfimprove.records import Prompt


@pytest.fixture
def relabel(make_context: Callable, make_rollout: Callable) -> Callable[..., Any]:
    """`relabel([("#1", 1.0)])`: the problem 3+5+8 as given on, or None, and the context."""

    def run(said: list[tuple[str, float | None]], **options: Any) -> tuple[Prompt | None, Any]:
        context = make_context()
        made: Sequence[Any] = Relabel(**options).select(
            [make_rollout(text, reward=score) for text, score in said], context
        )
        return next(iter(made), None), context

    return run


@pytest.mark.parametrize(
    ("said", "options", "label"),
    [
        ([("#1", 0.0), ("#1", None), ("#6", 1.0)], {}, "1"),
        ([("#1", 0.0), ("#6", 1.0)], {}, None),  # a tie
        ([("#1", 0.0), ("#1", 0.0), ("#6", 1.0)], {"min_score": 1.0}, "6"),
        ([("#1", None)], {"min_score": 0.0}, None),
        ([("#1", 1.0), ("lost", 1.0), ("lost", 1.0)], {"min_agreement": 0.5}, None),
        ([("#1", 1.0), ("#1", 1.0), ("lost", 1.0)], {"min_agreement": 0.5}, "1"),
        ([("lost", 1.0)], {}, None),
        ([("#1", 0.0)], {"label": "kept"}, "6"),
    ],
)
def test_by_hand(relabel: Callable, said: list, options: dict, label: str | None) -> None:
    problem, context = relabel(said, **options)
    assert (problem and problem.answer) == label
    assert context.log.metrics["relabel/problems"] == (label is not None)


def test_the_label_is_what_the_task_s_rule_marks_by_from_then_on(relabel: Callable, make_rollout: Callable) -> None:
    problem, context = relabel([("3+5=9;9+8=7#7", 1.0)])
    assert problem is not None and (problem.key, problem.prompt) == ("3+5+8", make_rollout().prompt.prompt)
    marked = context.reward([make_rollout("#7", problem), make_rollout("#6", problem)])
    assert [rollout.reward for rollout in marked] == [1.0, 0.0]
    assert context.log.metrics["relabel/label_precision"] == 0.0  # shown, and used for nothing


def test_each_problem_is_given_on_once(make_context: Callable, make_rollout: Callable) -> None:
    rollouts = [make_rollout("#6"), make_rollout("#2", "1+1"), make_rollout("#6")]
    made: Sequence[Any] = Relabel().select(rollouts, make_context())
    assert [p.key for p in made] == ["3+5+8", "1+1"]


def test_another_label_is_refused() -> None:
    with pytest.raises(RecipeError, match="it must be vote or kept"):
        Relabel(label="best")
