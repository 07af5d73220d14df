"""The score of a wording by hand, and rows that are graded high and surely."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.selection.selectit import ASKS, Selectit, sureness
from selfimprove.text import filled, quoted


@pytest.mark.parametrize(
    ("grades", "score"),
    [
        ([0, 0, 0, 0, 1], 5 * (2.718282 - 1) / (4 + 2.718282)),
        ([1, 0, 0, 0, 0], (2.718282 - 1) / (4 + 2.718282)),
        ([0.2] * 5, 0),
    ],
)
def test_sure_grades_count_and_none_is_sure_of_all(grades: list[float], score: float) -> None:
    """A certain 5 gives 1.2788, a certain 1 gives .2558, five equal ones 0: the values of the authors' formula."""
    assert sureness(grades) == pytest.approx(score, abs=1e-5)
    assert round(sureness([0, 0, 0, 0, 1]), 4) == 1.2788


def test_the_surest_high_grades_stay(make_context: Callable, make_rollout: Callable) -> None:
    """The second row has the same grades in all wordings but one, the third is unsure, the fourth unread."""
    rows = [make_rollout(f"#{place}") for place in range(4)]
    answers = {}
    for place, row in enumerate(rows):
        for number, ask in enumerate(ASKS):
            table = [{"5": 1.0}, {"1" if number == 0 else "5": 1.0}, {"4": 0.5, "5": 0.5}, {"?": 1.0}][place]
            answers[filled(ask, row.text, problem=quoted(row.prompt.prompt))] = table
    context = make_context(Fake(answers=answers))
    for share, kept in ((0.25, [0]), (0.5, [0, 1]), (1.0, [0, 1, 2])):
        method = Selectit(share=share)
        assert method.select(rows, context.held(method)) == [rows[place] for place in kept]
    assert context.log.metrics["selectit/unread"] == 0.25
