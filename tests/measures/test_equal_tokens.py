"""Methods against votes at equal tokens, worked by hand."""

from __future__ import annotations

import pytest

from selfimprove.measures.equal_tokens import mixed, samples_for, worth

VOTES = {1: [0.5, 0.5, 0.5, 0.5], 2: [0.5, 0.7, 0.5, 0.7], 3: [0.6, 0.8, 0.6, 0.8]}


def test_a_fractional_vote_is_a_mixture_of_two() -> None:
    assert mixed(2.0, VOTES.__getitem__) == VOTES[2]
    assert mixed(2.25, VOTES.__getitem__) == pytest.approx([0.525, 0.725, 0.525, 0.725])


@pytest.mark.parametrize(
    ("marks", "tokens", "votes", "dominated"),
    [
        ([1, 1, 1, 1], 20, 2.0, ""),  # better than both
        ([0, 0, 0, 0], 20, 2.0, "votes"),  # worse than the vote with two samples
        ([1, 1, 0, 0], 10, 1.0, ""),  # no more than a sample, so it need not be better
        ([1, 1, 0, 0], 25, 2.5, "plain"),  # not worse than the vote, not better than a sample
        ([1, 1, 1, 1], 900, 3.0, ""),  # more than there are samples: the largest vote
        ([1, 1, 1, 1], 4, 1.0, ""),  # less than one sample: one sample
    ],
)
def test_what_is_dominated(marks: list[float], tokens: float, votes: float, dominated: str) -> None:
    found = worth(marks, tokens, one=10.0, plain=VOTES[1], votes=VOTES.__getitem__, most=3)
    assert (found.votes, found.dominated) == (votes, dominated)
    assert found.over_votes.value == pytest.approx(sum(marks) / 4 - sum(mixed(votes, VOTES.__getitem__)) / 4)


def test_a_vote_at_its_own_price_is_neither_better_nor_worse() -> None:
    found = worth([0.6, 0.8, 0.6, 0.8], 30, one=10.0, plain=VOTES[1], votes=VOTES.__getitem__, most=3)
    assert found.over_votes.value == found.over_votes.low == 0.0 and found.over_plain.low > 0 and not found.dominated


def test_samples_that_take_at_least_as_many_tokens() -> None:
    assert [samples_for(tokens, 10.0) for tokens in (3, 10, 10.1, 40)] == [1, 1, 2, 4]
