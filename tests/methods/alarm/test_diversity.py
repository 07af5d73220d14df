"""Fewer ways to a right answer: shown, then vetoed; more right answers: not its business."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.methods.alarm.diversity import Diversity


def test_it_is_silent_where_nothing_changes(false_alarms: Callable) -> None:
    shown, vetoed = false_alarms(Diversity)
    assert shown <= 10 and vetoed <= 2


@pytest.mark.parametrize(("ways", "level"), [(3, 1), (1, 2)])
def test_ways_are_lost(make_evidence: Callable, make_audit: Callable, alert: Callable, ways: int, level: int) -> None:
    start, candidate = make_audit(1, problems=300, ways=6), make_audit(2, problems=300, ways=ways)
    assert alert(Diversity(), make_evidence(start=start, candidate=candidate)).level == level


def test_a_model_that_solves_more_is_left_in_peace(make_evidence: Callable, make_audit: Callable) -> None:
    assert Diversity().check(make_evidence(start=make_audit(1), candidate=make_audit(2, skill=0.8))) == []


def test_the_numbers_by_hand(make_evidence: Callable, make_rollout: Callable, alert: Callable) -> None:
    def audit(texts: list[str]) -> list:
        wrong = make_rollout("wrong", info={"truth": 0.0})
        solved = [[make_rollout(text, info={"truth": 1.0}) for text in texts] + [wrong] for _ in range(80)]
        return solved + [[wrong] * 5] * 20  # problems that nobody solves do not count

    start = audit(["a b", "c", "d", "e"])
    assert Diversity().check(make_evidence(start=start, candidate=audit(["a b", "a  b", "c", "d", "e"][1:]))) == []
    found = alert(Diversity(), make_evidence(start=start, candidate=audit(["a b", "a  b", " a b", "c"])))
    assert found.level == 2
    assert found.numbers["distinct_of_start"] == pytest.approx(4 / 5)
    assert found.numbers["distinct"] == pytest.approx(2 / 5)
    assert found.text.startswith("50% fewer")
    assert alert(Diversity(), make_evidence(start=start, candidate=audit(["a", "a", "c", "d"]))).level == 1
