"""Agreement as a reward: who wins does not depend on order, on texts without an answer, or on rounding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.reward.majority_vote import MajorityVote

votes = st.lists(st.sampled_from(["#1", "#2", "#3", "lost"]), max_size=12)


@pytest.fixture
def vote(make_context: Callable, make_rollout: Callable) -> Callable[..., list[float | None]]:
    """`vote(["#1", "#2"], min_agreement)`: the scores of one prompt's completions."""

    def run(texts: Sequence[str], min_agreement: float = 0.0) -> list[float | None]:
        group = [make_rollout(text) for text in texts]
        [scores] = MajorityVote(min_agreement=min_agreement).rate([group], make_context())
        return scores

    return run


@pytest.mark.parametrize(
    ("texts", "scores"),
    [
        (["#1", "#1", "#2"], [1.0, 1.0, 0.0]),
        (["#2", "#1", "#1"], [0.0, 1.0, 1.0]),
        (["1+0=1#1", "0+1=1#1", "#2"], [1.0, 1.0, 0.0]),  # the answer counts, not the way
        (["#1", "#2"], [None, None]),
        (["#1", "#1", "#2", "#2", "#3"], [None] * 5),
        (["#1", "#2", "#2", "#3", "#3", "#3"], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
        (["lost", "lost", "lost", "#1"], [0.0, 0.0, 0.0, 1.0]),  # no answer never wins, however often
        (["lost", "lost"], [None, None]),
        (["#7"], [1.0]),
        ([], []),
    ],
)
def test_by_hand(vote: Callable, texts: list[str], scores: list[float | None]) -> None:
    assert vote(texts) == scores


def test_a_wrong_majority_is_rewarded(vote: Callable) -> None:
    assert vote(["#6", "#5", "#5"]) == [0.0, 1.0, 1.0]  # 3+5+8 ends in 6: no reference answer is looked at


@pytest.mark.parametrize("size", range(5, 101, 5))
def test_an_agreement_of_exactly_the_bound_counts(vote: Callable, size: int) -> None:
    share = size * 3 // 5
    texts = ["#1"] * share + ["lost"] * (size - share)
    assert vote(texts, 0.6) == [1.0] * share + [0.0] * (size - share)
    assert vote(["lost", *texts[1:]], 0.6) == [None] * size  # one vote less


@pytest.mark.parametrize(("share", "votes", "size"), [(0.28, 7, 25), (0.55, 55, 100), (0.56, 14, 25), (0.07, 7, 100)])
def test_rounding_does_not_move_the_bound(vote: Callable, share: float, votes: int, size: int) -> None:
    assert share * size > votes  # by one part in 10^15
    assert vote(["#1"] * votes + ["lost"] * (size - votes), share)[0] == 1.0


def test_texts_without_an_answer_count_against_the_agreement(vote: Callable) -> None:
    assert vote(["#1", "#1", "lost", "lost"], 0.6) == [None] * 4
    assert vote(["#1", "#1", "lost", "lost"], 0.5) == [1.0, 1.0, 0.0, 0.0]


@given(votes, st.randoms(use_true_random=False), st.sampled_from([0.0, 0.4, 0.6, 1.0]))
def test_the_order_of_the_votes_does_not_matter(vote: Callable, texts: list[str], source: object, low: float) -> None:
    shuffled = list(texts)
    source.shuffle(shuffled)
    paired = Counter(zip(texts, vote(texts, low), strict=True))
    assert paired == Counter(zip(shuffled, vote(shuffled, low), strict=True))


@given(votes, st.sampled_from([0.0, 0.4, 0.6, 1.0]))
def test_only_a_single_most_frequent_answer_scores_1(vote: Callable, texts: list[str], low: float) -> None:
    scores, counts = vote(texts, low), Counter(text for text in texts if text != "lost")
    if None in scores or not scores:
        assert set(scores) <= {None}
        top = [count for _, count in counts.most_common(2)]
        assert not top or (len(top) == 2 and top[0] == top[1]) or top[0] < low * len(texts)
    else:
        [winner] = {text for text, score in zip(texts, scores, strict=True) if score == 1.0}
        assert all(counts[winner] > count for text, count in counts.items() if text != winner)
        assert counts[winner] >= low * len(texts) - 1e-9


def test_every_prompt_votes_for_itself(make_context: Callable, make_rollout: Callable) -> None:
    groups = [[make_rollout("#1"), make_rollout("#1"), make_rollout("#2")], [make_rollout("#2", "1+2")], []]
    assert MajorityVote().rate(groups, make_context()) == [[1.0, 1.0, 0.0], [1.0], []]
