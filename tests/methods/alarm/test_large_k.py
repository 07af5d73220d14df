"""Problems that the champion finds in many tries and the candidate does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from selfimprove.measures.statistics import lower_bound
from selfimprove.methods.alarm.large_k import LargeK
from selfimprove.records import Report
from selfimprove.rounds import Evidence


@pytest.mark.parametrize("parts", [True, False], ids=["of_the_evaluation", "of_the_audit"])
def test_it_is_silent_where_nothing_changes(false_alarms: Callable, parts: bool) -> None:
    shown, vetoed = false_alarms(LargeK, parts=parts)
    assert shown <= 18 and vetoed <= 6  # 5 % and 1 % of 200 rounds, plus three standard errors
    if parts:
        assert shown <= 10 and vetoed <= 2


def test_a_bound_below_the_margin_would_ring_in_most_calm_rounds(calm: list[Evidence]) -> None:
    rings = 0
    for given in calm:
        old, new = [report.parts["pass@16"] for report in (given.history[-1].champion, given.history[-1].candidate)]
        rings += lower_bound([new[key] for key in old], [*old.values()]) < -0.03
    assert rings > 120


@pytest.mark.parametrize(
    ("n", "lost", "gained", "level"),
    [(100, 4, 0, 0), (100, 5, 0, 1), (100, 7, 0, 2), (100, 6, 1, 0), (100, 7, 1, 1), (1000, 5, 0, 0), (1000, 7, 0, 2)],
)
def test_a_fall_that_the_evaluation_saw(
    make_evidence: Callable, alert: Callable, n: int, lost: int, gained: int, level: int
) -> None:
    old = {str(place): float(place >= gained) for place in range(n)}
    new = {str(place): float(place < n - lost) for place in range(n)}
    champion, candidate = [Report(metrics={}, parts={"pass@16": part}) for part in (old, new)]
    given = make_evidence(reports=(champion, candidate))
    if not level:
        assert LargeK().check(given) == []
        return
    found = alert(LargeK(), given)
    ways = sum(math.comb(lost + gained, i) for i in range(lost, lost + gained + 1))
    assert found.level == level and found.text.startswith("pass@16 fell by")
    assert found.numbers == pytest.approx({"change": (gained - lost) / n, "p": ways / 2 ** (lost + gained)})


def test_the_largest_k_counts_and_the_audit_does_not_where_there_is_one(
    make_evidence: Callable, make_reports: Callable, make_audit: Callable
) -> None:
    audits = {"start": make_audit(1), "candidate": make_audit(2, constant=0.9)}
    reports = make_reports(4, {"pass@4": -0.3, "pass@16": 0.0}, changed=0.3)
    assert LargeK().check(make_evidence(reports=reports, **audits)) == []
    assert len(LargeK().check(make_evidence(**audits))) == 1


def test_marks_between_0_and_1_are_tested_by_sign_flips(make_evidence: Callable, alert: Callable) -> None:
    old = {str(place): 0.75 for place in range(40)}
    new = {str(place): 0.5 if place < 30 else 0.8 for place in range(40)}
    champion, candidate = [Report(metrics={}, parts={"pass@4": part}) for part in (old, new)]
    assert alert(LargeK(), make_evidence(reports=(champion, candidate))).level == 2
    assert LargeK().check(make_evidence(reports=(candidate, champion))) == []


def test_a_fall_that_the_audit_saw(make_evidence: Callable, make_audit: Callable, alert: Callable) -> None:
    start, champion = make_audit(1, constant=0.9), make_audit(2)
    found = alert(LargeK(), make_evidence(start=start, champion=champion, candidate=make_audit(3, constant=0.9)))
    assert found.level == 2 and found.text.startswith("pass@8 of the audit fell by")


def test_audits_of_different_size_are_compared_at_the_smaller_k(make_evidence: Callable, make_audit: Callable) -> None:
    start, candidate = make_audit(1, samples=16), [group[:4] for group in make_audit(1, samples=16)]
    assert LargeK().check(make_evidence(start=start, candidate=candidate)) == []
    unmarked = [[replace(rollout, info={"truth": None}) for rollout in group] for group in candidate]
    assert LargeK().check(make_evidence(start=start, candidate=unmarked)) == []
