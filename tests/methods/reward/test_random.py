"""The coin: its share is right, and it knows nothing of the answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.methods.reward.random import Random


def flips(make_context: Callable, make_rollout: Callable, texts: list[str], seed: int = 1, **options: float) -> list:
    groups = [[make_rollout(text) for text in texts] for _ in range(500)]
    return [mark for group in Random(**options).rate(groups, make_context(seed=seed)) for mark in group]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_share_of_ones(make_context: Callable, make_rollout: Callable, share: float) -> None:
    marks = flips(make_context, make_rollout, ["#6", "#5", "lost", ""], share=share)
    assert set(marks) == {0.0, 1.0}
    assert abs(sum(marks) / 2000 - share) < 4 * (share * (1 - share) / 2000) ** 0.5


def test_shares_0_and_1_are_certain(make_context: Callable, make_rollout: Callable) -> None:
    assert set(flips(make_context, make_rollout, ["#6"], share=0.0)) == {0.0}
    assert set(flips(make_context, make_rollout, ["#6"], share=1.0)) == {1.0}


def test_a_coin_belongs_to_a_rollout_and_the_seed(make_context: Callable, make_rollout: Callable) -> None:
    """Rated again, in another place of another call, a rollout gets the same; equal ones have coins of their own."""
    some = [make_rollout(f"#{digit}", key) for digit in range(10) for key in ("1+2", "3+5")]
    coins = dict(zip((r.id for r in some), Random().rate([some], make_context())[0], strict=True))
    again = [one for group in Random().rate([[one] for one in reversed(some)], make_context()) for one in group]
    assert again == [coins[one.id] for one in reversed(some)] and set(again) == {0.0, 1.0}
    other = Random().rate([some], make_context(seed=2))[0]
    assert other != [coins[one.id] for one in some]
    assert set(Random().rate([[some[0]] * 20], make_context())[0]) == {0.0, 1.0}


def test_a_right_answer_scores_1_no_more_often_than_a_wrong_one(make_context: Callable, make_rollout: Callable) -> None:
    marks = flips(make_context, make_rollout, ["#6", "#5"])
    right, wrong = sum(marks[::2]) / 500, sum(marks[1::2]) / 500
    assert abs(right - wrong) < 4 * (2 * 0.25 / 500) ** 0.5
