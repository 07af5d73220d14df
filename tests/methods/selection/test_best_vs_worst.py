"""Pairs of the most and the least liked completion of one prompt, and only where the reward tells them apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.selection.best_vs_worst import BestVsWorst
from selfimprove.records import Preference


@pytest.fixture
def pairs(make_context: Callable, make_rollout: Callable) -> Callable[..., list[tuple[str, str]]]:
    """`pairs([("a", 0.2), ("b", 0.9)])`: chosen and rejected texts of one prompt."""

    def run(rows: list[tuple[str, float | None]], **options: float) -> list[tuple[str, str]]:
        offered = [make_rollout(text, reward=score) for text, score in rows]
        made = BestVsWorst(**options).select(offered, make_context())
        return [(p.chosen[-1]["content"], p.rejected[-1]["content"]) for p in made]

    return run


FIVE = [("a", 0.2), ("b", 0.9), ("c", None), ("d", 0.5), ("e", 0.1), ("f", 0.8)]


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        (FIVE, {}, [("b", "e")]),
        (FIVE, {"pairs": 2}, [("b", "e"), ("f", "a")]),
        (FIVE, {"pairs": 9}, [("b", "e"), ("f", "a")]),  # the middle one is not paired with itself
        (FIVE, {"pairs": 9, "min_gap": 0.7}, [("b", "e")]),
        (FIVE, {"min_gap": 0.8}, []),  # the gap must be larger than the bound
        ([("a", 0.5), ("b", 0.5)], {}, []),
        ([("a", 1.0), ("a", 0.0)], {}, []),
        ([("a", 1.0)], {}, []),
        ([("a", 1.0), ("b", None)], {}, []),
        ([("a", -1.0), ("b", -3.0)], {}, [("a", "b")]),
        ([("a", 0.0), ("b", -1.0), ("c", 1.0)], {}, [("c", "b")]),
        ([], {}, []),
    ],
)
def test_by_hand(pairs: Callable, rows: list, options: dict, expected: list) -> None:
    assert pairs(rows, **options) == expected


def test_a_pair_is_of_one_prompt_and_names_its_parents(make_context: Callable, make_rollout: Callable) -> None:
    offered = [
        make_rollout("a", "1+2", reward=1.0),
        make_rollout("b", "3+5", reward=0.0),
        make_rollout("c", "1+2", reward=0.25),
        make_rollout("d", "3+5", reward=0.5),
    ]
    first, second = BestVsWorst().select(offered, make_context(round=2))
    assert isinstance(first, Preference) and first.prompt == offered[0].prompt and second.prompt == offered[1].prompt
    assert first.parents == (offered[0].id, offered[2].id)
    assert first.info == {"chosen_score": 1.0, "rejected_score": 0.25}
    assert (second.chosen, second.rejected) == (offered[3].completion, offered[1].completion)


@given(
    st.lists(st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=9),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.25, 0.5]),
)
def test_the_reward_always_prefers_the_chosen_one(
    make_context: Callable, make_rollout: Callable, scores: list[float | None], most: int, gap: float
) -> None:
    offered = [make_rollout(str(i), reward=score) for i, score in enumerate(scores)]
    made = BestVsWorst(pairs=most, min_gap=gap).select(offered, make_context())
    known = sorted(score for score in scores if score is not None)
    assert len(made) <= most
    used = [record.id for record in offered]
    for pair in made:
        assert pair.info["chosen_score"] - pair.info["rejected_score"] > gap
        for parent in pair.parents:
            used.remove(parent)  # no completion stands in two pairs
    if made:
        assert (made[0].info["chosen_score"], made[0].info["rejected_score"]) == (known[-1], known[0])
    else:
        assert not known or known[-1] - known[0] <= gap
