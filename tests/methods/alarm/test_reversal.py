"""Better at the task and worse beyond it: vetoed; only one of the two: not its business."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.methods.alarm.reversal import Reversal


def test_it_is_silent_where_nothing_changes(false_alarms: Callable) -> None:
    assert false_alarms(Reversal)[1] <= 2


def test_new_ground_is_lost_for_the_score(make_evidence: Callable, make_reports: Callable, alert: Callable) -> None:
    reports = make_reports(1, {"scores": 0.2, "ood/kept": 0.0, "ood/lost": -0.2, "probe/lost": -0.2}, changed=0.25)
    found = alert(Reversal(), make_evidence(reports=reports))
    assert found.level == 2 and found.text.endswith("but ood/lost fell")
    assert set(found.numbers) == {"rise", "ood/lost"}


def test_variety_is_lost_for_the_score(
    make_evidence: Callable, make_reports: Callable, make_audit: Callable, alert: Callable
) -> None:
    audits = {"start": make_audit(1, ways=1), "champion": make_audit(2, ways=8), "candidate": make_audit(3, ways=1)}
    found = alert(Reversal(), make_evidence(reports=make_reports(1, {"scores": 0.2}, changed=0.25), **audits))
    assert found.level == 2 and found.text.endswith("but different right solutions fell")
    flat = make_reports(1, {"scores": 0.0}, changed=0.25)
    assert Reversal().check(make_evidence(reports=flat, **audits)) == []


@pytest.mark.parametrize("changes", [{"scores": 0.2, "ood/a": 0.1}, {"scores": -0.2, "ood/a": -0.2}, {"ood/a": -0.2}])
def test_a_plain_gain_and_a_plain_loss(make_evidence: Callable, make_reports: Callable, changes: dict) -> None:
    assert Reversal().check(make_evidence(reports=make_reports(1, changes, changed=0.25))) == []


def test_the_falls_share_their_level(make_evidence: Callable, make_reports: Callable) -> None:
    kept = {f"ood/{name}": 0.0 for name in "abcdefghi"}
    found = [
        Reversal().check(make_evidence(reports=make_reports(seed, {"scores": 0.3, **kept}, changed=0.35)))
        for seed in range(200)
    ]
    assert sum(bool(one) for one in found) <= 18  # 5 % of 200 rounds, plus three standard errors
