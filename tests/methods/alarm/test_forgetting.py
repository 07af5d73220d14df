"""A probe that falls is seen; probes that do not fall ring in at most one calm round of twenty, however many."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from selfimprove.measures.statistics import lower_bound
from selfimprove.methods.alarm.forgetting import Forgetting
from selfimprove.records import Report
from selfimprove.rounds import Evidence


def test_it_is_silent_where_nothing_changes(false_alarms: Callable) -> None:
    shown, vetoed = false_alarms(Forgetting)
    assert shown <= 10 and vetoed <= 2


def test_ten_probes_ring_no_oftener_than_one(make_evidence: Callable, make_reports: Callable) -> None:
    parts = {f"probe/{name}": 0.0 for name in "abcdefghij"}
    found = [
        Forgetting().check(make_evidence(reports=make_reports(seed, parts, n=200, changed=0.3))) for seed in range(200)
    ]
    assert sum(bool(one) for one in found) <= 18  # 5 % of 200 rounds, plus three standard errors
    assert sum(any(alert.level == 2 for alert in one) for one in found) <= 6


def test_a_bound_below_the_margin_would_ring_in_most_calm_rounds(calm: list[Evidence]) -> None:
    rings = 0
    for given in calm:
        old, new = [report.parts["probe/a"] for report in (given.history[-1].champion, given.history[-1].candidate)]
        rings += lower_bound([new[key] for key in old], [*old.values()]) < -0.03
    assert rings > 120


@pytest.mark.parametrize("name", ["probe/lost", "level/3"])
@pytest.mark.parametrize(("change", "level"), [(-0.09, 1), (-0.3, 2)])
def test_a_probe_or_a_level_that_falls(
    make_evidence: Callable, make_reports: Callable, alert: Callable, name: str, change: float, level: int
) -> None:
    parts = {"probe/kept": 0.0, name: change, "ood/lost": -0.1, "pass@16": -0.1}
    found = alert(Forgetting(), make_evidence(reports=make_reports(2, parts, changed=max(0.1, -change))))
    assert found.level == level and found.text.startswith(f"{name} fell by")


def test_the_numbers_by_hand(make_evidence: Callable) -> None:
    def report(right: int) -> Report:
        marks = {str(place): float(place < right) for place in range(40)}
        return Report(metrics={}, parts={"probe/a": marks, "probe/b": dict.fromkeys(marks, 1.0)})

    (found,) = Forgetting().check(make_evidence(reports=(report(40), report(33))))
    assert found.numbers == pytest.approx({"change": -7 / 40, "p": 2 * 2**-7})  # Holm: the smaller of two p-values
    assert found.level == 1
    (found,) = Forgetting().check(make_evidence(reports=(report(40), report(32))))
    assert found.level == 2
    assert Forgetting().check(make_evidence(reports=(report(32), report(40)))) == []


def test_a_fall_within_the_margin_is_not_shown(make_evidence: Callable) -> None:
    n, lost = 1000, 6
    old = Report(metrics={}, parts={"probe/a": {str(place): 1.0 for place in range(n)}})
    new = Report(metrics={}, parts={"probe/a": {str(place): float(place >= lost) for place in range(n)}})
    assert Forgetting().check(make_evidence(reports=(old, new))) == []  # p = 1/64, but 0.6 points
    assert len(Forgetting(margin=0.001).check(make_evidence(reports=(old, new)))) == 1


def test_only_problems_that_both_answered_count(make_evidence: Callable) -> None:
    marks = np.arange(30)
    old = Report(metrics={}, parts={"probe/a": {str(place): 1.0 for place in marks}, "probe/gone": {"x": 1.0}})
    new = Report(metrics={}, parts={"probe/a": {str(place + 25): 0.0 for place in marks}, "probe/new": {"x": 0.0}})
    (found,) = Forgetting().check(make_evidence(reports=(old, new)))
    assert found.numbers["p"] == pytest.approx(2**-5)
