"""Who is champion and who is on trial after a decision."""

from __future__ import annotations

import pytest

from selfimprove.loop.standing import after


@pytest.mark.parametrize(
    ("verdict", "certified", "then"),
    [
        ("certify", False, (5, 5)),
        ("accept", False, (1, 5)),
        ("accept", True, (3, 5)),  # the one before on trial is certified, the candidate is on trial
        ("hold", False, (1, 3)),
        ("hold", True, (3, 3)),
        ("reject", False, (1, 3)),
        ("reject", True, (3, 3)),
        ("rollback", False, (1, 1)),
        ("rollback", True, (3, 3)),
    ],
)
def test_each_verdict_on_the_candidate_of_round_5(verdict: str, certified: bool, then: tuple[int, int]) -> None:
    assert after(1, 3, verdict, certified, 5) == then


def test_what_is_not_known_stays_unknown_until_a_decision_names_it() -> None:
    assert after(None, None, "reject", True, 5) == (None, None)
    assert after(None, None, "accept", False, 5) == (None, 5)
