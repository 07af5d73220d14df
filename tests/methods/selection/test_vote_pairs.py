"""Pairs by votes: the majority against the fewest, only where agreement is high enough, weighted by the margin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.selection.vote_pairs import VotePairs
from selfimprove.records import Preference


@pytest.fixture
def pair(make_context: Callable, make_rollout: Callable) -> Callable[..., tuple[str, str, float] | None]:
    """`pair(["#1", "#2"], min_agreement)`: chosen text, rejected text and weight of one prompt, or None."""

    def run(texts: Sequence[str], min_agreement: float = 0.5) -> tuple[str, str, float] | None:
        made = VotePairs(min_agreement).select([make_rollout(text) for text in texts], make_context())
        assert len(made) <= 1
        return (made[0].chosen[-1]["content"], made[0].rejected[-1]["content"], made[0].weight) if made else None

    return run


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["#1", "#1", "#2", "#1"], ("#1", "#2", 0.5)),
        (["#2", "#1", "1+0=1#1", "#3", "#1", "#2", "#1", "#1"], ("#1", "#3", 0.5)),  # 5 of 8 against 1 of 8
        (["a#1", "b#1", "#2"], ("a#1", "#2", 1 / 3)),  # the first of the majority
        (["#1", "#1", "lost", "#2"], ("#1", "#2", 0.25)),  # no answer: never rejected, but counted
        (["#1", "#1", "lost", "lost", "lost"], None),  # 2 of 5 is too few
        (["#1", "#1", "lost"], None),  # nobody to reject
        (["#1", "#1", "#2", "#2"], None),  # the weight would be 0
        (["#1", "#1", "#2", "#2", "#3"], None),
        (["lost"], None),
        ([], None),
    ],
)
def test_by_hand(pair: Callable, texts: list[str], expected: tuple | None) -> None:
    assert pair(texts) == (expected and (*expected[:2], pytest.approx(expected[2])))


def test_a_tie_at_the_top_still_rejects_the_fewest(pair: Callable) -> None:
    assert pair(["#2", "#1", "#1", "#2", "#3"], 0.4) == ("#2", "#3", pytest.approx(0.2))


def test_the_bound_itself_is_kept(pair: Callable) -> None:
    texts = ["#1"] * 7 + ["lost"] * 92 + ["#2"]
    assert pair(texts, 0.07) and 0.07 * 100 > 7  # by one part in 10^15
    assert pair(texts, 0.08) is None


def test_a_pair_is_of_one_prompt_and_names_its_parents(make_context: Callable, make_rollout: Callable) -> None:
    offered = [make_rollout(text, key) for key in ("1+2", "3+5") for text in ("#3", "#3", "#4")]
    first, second = VotePairs().select(offered, make_context(round=2))
    assert isinstance(first, Preference) and (first.prompt, second.prompt) == (offered[0].prompt, offered[3].prompt)
    assert first.parents == (offered[0].id, offered[2].id)
    assert first.info == {"chosen_votes": 2, "rejected_votes": 1, "votes": 3}


@given(
    st.lists(st.sampled_from(["#1", "#2", "#3", "lost"]), max_size=12),
    st.sampled_from([0.0, 0.5, 0.7]),
    st.randoms(use_true_random=False),
)
def test_the_votes_decide_and_not_the_order(pair: Callable, texts: list[str], low: float, source: object) -> None:
    counts = Counter(text for text in texts if text != "lost")
    made = pair(texts, low)
    if made:
        chosen, rejected, weight = made
        assert counts[chosen] == max(counts.values()) >= low * len(texts) and counts[rejected] == min(counts.values())
        assert weight == pytest.approx((counts[chosen] - counts[rejected]) / len(texts)) and 0 < weight <= 1
    else:
        most = max(counts.values(), default=0)
        assert most == min(counts.values(), default=0) or most < low * len(texts)
    source.shuffle(texts)
    again = pair(texts, low)
    assert (again and again[2]) == (made and made[2])
