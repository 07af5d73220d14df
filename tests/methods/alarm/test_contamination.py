"""Held-out problems that were dropped are shown, and never vetoed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.methods.alarm.contamination import Contamination


def counts(dropped: float, records: float) -> dict[str, float]:
    return {"acquisition/held_out_dropped": dropped, "acquisition/records": records, "selection/kept": 5.0}


def test_it_is_silent_where_nothing_changes(false_alarms: Callable) -> None:
    assert false_alarms(Contamination) == (0, 0)


@pytest.mark.parametrize("dropped", [1, 40, 400])
def test_what_was_dropped_is_shown(make_evidence: Callable, alert: Callable, dropped: int) -> None:
    found = alert(Contamination(), make_evidence(counts=counts(dropped, 60)))
    assert found.level == 1
    assert found.numbers == {"dropped": dropped, "made": dropped + 60}


@pytest.mark.parametrize(("dropped", "alerts"), [(45, 0), (50, 0), (51, 1), (100, 1)])
def test_a_share_can_be_expected(make_evidence: Callable, dropped: int, alerts: int) -> None:
    given = make_evidence(counts=counts(dropped, 100 - dropped))
    assert len(Contamination(share=0.5).check(given)) == alerts


def test_rounds_without_such_counts(make_evidence: Callable) -> None:
    assert Contamination().check(make_evidence()) == []
    assert Contamination().check(make_evidence(counts=counts(0, 0))) == []
