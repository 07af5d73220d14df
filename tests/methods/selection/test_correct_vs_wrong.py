"""Right against wrong: all pairs once, evenly used under a cap, and never the wrong way round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.methods.selection.correct_vs_wrong import CorrectVsWrong


@pytest.fixture
def pairs(make_context: Callable, make_rollout: Callable) -> Callable[..., list[str]]:
    """`pairs([("a", 1.0), ("b", 0.0)])`: chosen and rejected texts of one prompt, as "ab"."""

    def run(rows: list[tuple[str, float | None]], **options: float | None) -> list[str]:
        offered = [make_rollout(text, reward=score) for text, score in rows]
        made = CorrectVsWrong(**options).select(offered, make_context())
        return [p.chosen[-1]["content"] + p.rejected[-1]["content"] for p in made]

    return run


ROWS = [("a", 1.0), ("x", 0.0), ("b", 1.0), ("y", 0.0), ("h", 0.5), ("n", None), ("z", 0.0)]


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        (ROWS, {}, ["ax", "by", "az", "bx", "ay", "bz"]),
        (ROWS, {"pairs": 2}, ["ax", "by"]),
        (ROWS[:4], {"pairs": None}, ["ax", "by", "ay", "bx"]),  # two laps of two
        (ROWS, {"right": 0.5, "pairs": 3}, ["ax", "by", "hz"]),
        (ROWS, {"wrong": 0.5, "pairs": 4}, ["ax", "by", "ah", "bz"]),
        ([("a", 1.0), ("a", 1.0), ("x", 0.0), ("x", 0.0)], {}, ["ax"]),  # equal texts count once
        ([("a", 1.0), ("a", 0.0)], {}, []),  # a coin said both
        ([("a", 1.0)], {}, []),
        ([("x", 0.0)], {}, []),
        ([], {}, []),
    ],
)
def test_by_hand(pairs: Callable, rows: list, options: dict, expected: list[str]) -> None:
    assert pairs(rows, **options) == expected


def test_a_pair_is_of_one_prompt_and_names_its_parents(make_context: Callable, make_rollout: Callable) -> None:
    offered = [make_rollout(text, key, reward=score) for key in ("1+2", "3+5") for text, score in ROWS[:2]]
    first, second = CorrectVsWrong().select(offered, make_context(round=2))
    assert (first.prompt, second.prompt) == (offered[0].prompt, offered[2].prompt)
    assert first.parents == (offered[0].id, offered[1].id)
    assert first.info == {"chosen_score": 1.0, "rejected_score": 0.0}


@given(st.integers(0, 7), st.integers(0, 7), st.none() | st.integers(1, 50))
def test_all_pairs_once_and_evenly(pairs: Callable, right: int, wrong: int, most: int | None) -> None:
    rows = [("abcdefg"[i], 1.0) for i in range(right)] + [("tuvwxyz"[i], 0.0) for i in range(wrong)]
    made = pairs(rows, pairs=most)
    assert len(made) == len(set(made)) == min(right * wrong, most or right * wrong)
    for place in (0, 1):
        used = Counter(pair[place] for pair in made)
        if made:
            size = (right, wrong)[place]
            assert max(used.values()) - min([used[text] for text in used] + [0] * (len(used) < size)) <= 1


def test_with_the_verifier_every_chosen_one_is_right_and_every_rejected_one_wrong(
    make_context: Callable, make_engine: Callable, classroom: Callable
) -> None:
    problems = make_context().problems(40, 1)
    context = make_context(make_engine(classroom(problems, 0.5)))
    offered = context.reward([r for group in context.policy.sample(problems, 8) for r in group])
    made = CorrectVsWrong().select(offered, context)
    assert made
    assert {context.verify(pair.prompt, pair.chosen[-1]["content"]) for pair in made} == {1.0}
    assert {context.verify(pair.prompt, pair.rejected[-1]["content"]) for pair in made} == {0.0}


def test_bounds_that_cross_are_refused() -> None:
    with pytest.raises(RecipeError, match="right above wrong"):
        CorrectVsWrong(right=0.5, wrong=0.5)
