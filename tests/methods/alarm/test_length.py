"""Longer, shorter, cut off: each by how much, and only where it is no accident."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.methods.alarm.length import Length
from selfimprove.records import Rollout


@pytest.fixture
def exact(make_rollout: Callable) -> Callable[..., list[list[Rollout]]]:
    """`exact(30, cut=10)`: 100 problems with one sample of so many characters, `cut` of them cut off."""
    return lambda characters, cut=0: [
        [make_rollout("x" * characters, info={"finish_reason": "length" if place < cut else "stop"})]
        for place in range(100)
    ]


def test_it_is_silent_where_nothing_changes(false_alarms: Callable) -> None:
    shown, vetoed = false_alarms(Length)
    assert shown <= 10 and vetoed <= 2


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"characters": 110.0}, 1),
        ({"characters": 200.0}, 2),
        ({"characters": 25.0}, 1),
        ({"characters": 5.0}, 2),
        ({"cut": 0.1}, 1),
        ({"cut": 0.4}, 2),
    ],
)
def test_a_drift_is_seen(
    make_evidence: Callable, make_audit: Callable, alert: Callable, changes: dict[str, float], level: int
) -> None:
    assert alert(Length(), make_evidence(start=make_audit(1), candidate=make_audit(2, **changes))).level == level


@pytest.mark.parametrize(
    ("characters", "level"), [(30, 0), (45, 0), (46, 1), (60, 1), (61, 2), (20, 0), (19, 1), (14, 2)]
)
def test_the_factors_by_hand(make_evidence: Callable, exact: Callable, characters: int, level: int) -> None:
    found = Length().check(make_evidence(start=exact(30), candidate=exact(characters)))
    assert [one.level for one in found] == [level] * (level > 0)
    for one in found:
        assert one.numbers == {"length": characters, "length_of_champion": 30}


@pytest.mark.parametrize(
    ("before", "after", "level"), [(0, 5, 0), (0, 6, 1), (0, 15, 1), (0, 16, 2), (16, 16, 0), (12, 17, 0)]
)
def test_the_shares_by_hand(make_evidence: Callable, exact: Callable, before: int, after: int, level: int) -> None:
    found = Length().check(make_evidence(start=exact(30, before), candidate=exact(30, after)))
    assert [one.level for one in found] == [level] * (level > 0)


def test_it_compares_with_the_champion_not_with_the_start(make_evidence: Callable, exact: Callable) -> None:
    assert Length().check(make_evidence(start=exact(10), champion=exact(30), candidate=exact(40))) == []


def test_one_long_completion_is_an_accident(make_evidence: Callable, exact: Callable, make_rollout: Callable) -> None:
    outlier = [*exact(30)[:99], [make_rollout("x" * 10_000)]]
    assert Length().check(make_evidence(start=exact(30), candidate=outlier)) == []


def test_both_can_be_wrong_at_once(make_evidence: Callable, exact: Callable) -> None:
    found = Length().check(make_evidence(start=exact(30), candidate=exact(90, cut=50)))
    assert [one.level for one in found] == [2, 2]
