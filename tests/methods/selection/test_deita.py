"""Complexity times quality decides, and what resembles a kept row goes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.selection.deita import COMPLEXITY, QUALITY, Deita, apart, ranked
from selfimprove.text import filled, quoted


def test_apart_by_hand() -> None:
    """No two kept rows are more alike than .9, and each that went has a better one within it."""
    rows = np.array([[1, 0], [0.96, 0.28], [0.6, 0.8], [0, 1]], dtype=np.float32)
    assert apart(rows, 4, 0.9) == [0, 2, 3] and apart(rows, 2, 0.9) == [0, 2] and apart(rows, 0, 0.9) == []
    assert apart(rows, 4, 1.0) == [0, 1, 2, 3]


def test_the_product_ranks(make_context: Callable, make_rollout: Callable) -> None:
    """Products of 6 * 6, 6 * 1, 3 * 3 for an unread one, and 36 again for a copy of the first with one letter more."""
    texts, keys = ("abcdefgh", "qrstuvwx", "12345678", "abcdefghi"), ("1+2", "3+4", "5+6", "1+2")
    rows = [make_rollout(text, key) for text, key in zip(texts, keys, strict=True)]
    answers = {}
    for row, hard, good in zip(rows, ("6", "6", "?", "6"), ("6", "1", "?", "6"), strict=True):
        problem = quoted(row.prompt.prompt)
        answers[filled(COMPLEXITY, row.text, problem=problem)] = {hard: 1.0}
        answers[filled(QUALITY, row.text, problem=problem)] = {good: 1.0}
    context = make_context(Fake(answers=answers))
    method = Deita(share=0.5, similarity=0.8)
    kept = method.select(rows, context.held(method))
    assert rows[2] in kept and len(kept) == 2 and rows[1] not in kept
    constant = Deita(share=1.0, similarity=0.8)
    assert len(constant.select(rows, make_context(Fake(default="4")))) == 3


def test_in_verdicts_complexity_is_that_of_the_problem_whatever_the_row_answers(
    make_context: Callable, make_rollout: Callable
) -> None:
    """Of three problems the model answers the first with .9, the second with .5, the third with .6: grades 1, 6, 3.5.

    The row of the second is judged wrong, 6 * 1; the first makes 1 * 6 and the third 3.5 * 6, which is the best.
    """
    keys, odds = ("1+2", "3+4", "5+6"), (0.9, 0.5, 0.6)
    rows = [make_rollout(text, key) for text, key in zip(("abcdef", "uvwxyz", "123456"), keys, strict=True)]
    context = make_context()
    answers = {}
    for row, share, word in zip(rows, odds, ("#y", "#n", "#y"), strict=True):
        answers[row.prompt.prompt[-1]["content"]] = {"own": share, "other": 1 - share}
        judged = context.roles.judge(row.prompt, row.text)
        answers[judged[-1]["content"]] = {word: 1.0}
    method = Deita(share=1 / 3, form="verdict")
    assert method.select(rows, make_context(Fake(answers=answers)).held(method)) == [rows[2]]


def test_ranks_from_1_to_6() -> None:
    assert ranked([0.3, 0.1, 0.3, 0.9]) == pytest.approx([8 / 3, 1, 8 / 3, 6]) and ranked([5.0]) == [1]
