"""Length control: short among the good, long among the bad; without width it is best against worst."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.selection.length_tier import LengthTier


@pytest.fixture
def pair(make_context: Callable, make_rollout: Callable) -> Callable[..., tuple[str, str] | None]:
    """`pair([("aa", 1.0), ("b", 0.0)])`: chosen and rejected texts of one prompt, or None."""

    def run(rows: list[tuple[str, float | None]], rho: float = 0.1) -> tuple[str, str] | None:
        made = LengthTier(rho).select([make_rollout(text, reward=score) for text, score in rows], make_context())
        return (made[0].chosen[-1]["content"], made[0].rejected[-1]["content"]) if made else None

    return run


FIVE = [("aaaa", 5.0), ("bb", 4.6), ("c", 3.0), ("d", 1.4), ("eee", 1.0), ("f" * 9, None)]


@pytest.mark.parametrize(
    ("rows", "rho", "expected"),
    [
        (FIVE, 0.0, ("aaaa", "eee")),
        (FIVE, 0.1, ("bb", "eee")),  # good from 4.6, bad to 1.4
        (FIVE, 0.09, ("aaaa", "eee")),
        (FIVE, 0.5, ("c", "eee")),
        (FIVE, 1.0, ("c", "aaaa")),  # shortest and longest of all
        ([("dddd", 1.4), *FIVE], 0.1, ("bb", "dddd")),
        ([("aa", 1.0), ("b", 1.0), ("cc", 0.0), ("d", 0.0)], 0.1, ("b", "cc")),
        ([("a", 1.0), ("b", 1.0)], 0.1, None),
        ([("a", 1.0), ("a", 0.0)], 0.1, None),
        ([("a", 1.0)], 0.1, None),
        ([], 0.1, None),
    ],
)
def test_by_hand(pair: Callable, rows: list, rho: float, expected: tuple | None) -> None:
    assert pair(rows, rho) == expected


def test_a_pair_names_its_parents_and_scores(make_context: Callable, make_rollout: Callable) -> None:
    offered = [make_rollout(text, reward=score) for text, score in FIVE]
    [made] = LengthTier().select(offered, make_context(round=2))
    assert made.parents == (offered[1].id, offered[4].id)
    assert made.info == {"chosen_score": 4.6, "rejected_score": 1.0}


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0.0, 1.0, 2.0, 3.0])), max_size=8),
    st.sampled_from([0.0, 0.2, 0.4]),
)
def test_tiers_below_a_half_never_prefer_the_lower_score(pair: Callable, rows: list, rho: float) -> None:
    made = pair([(f"{place}" + "x" * length, score) for place, (length, score) in enumerate(rows)], rho)
    scores = [score for _, score in rows]
    assert (made is None) == (len(set(scores)) < 2)
    if made:
        (chosen, rejected), width = (int(text[0]) for text in made), rho * (max(scores) - min(scores)) + 1e-9
        assert scores[chosen] > scores[rejected]
        assert scores[chosen] >= max(scores) - width and scores[rejected] <= min(scores) + width
        assert all(rows[chosen][0] <= length for length, score in rows if score >= max(scores) - width)
        assert all(rows[rejected][0] >= length for length, score in rows if score <= min(scores) + width)
