"""What holds for every alarm: silence where nothing changes or nothing is known, and few false alarms together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from selfimprove import registry
from selfimprove.interfaces import Alarm
from selfimprove.records import Report, Rollout
from selfimprove.rounds import Evidence

registry.discover()
ALARMS = [
    entry.method
    for entry in registry.METHODS.values()
    if entry.slot == "alarm" and entry.method.__module__.startswith("selfimprove.")
]
every = pytest.mark.parametrize("alarm", ALARMS, ids=[alarm.__name__ for alarm in ALARMS])


def unmarked(rollout: Rollout) -> Rollout:
    return replace(rollout, reward=None, logprobs=None, info={"truth": None, "answer": None})


@pytest.mark.long
@every
def test_a_candidate_that_is_the_champion_raises_nothing(alarm: type[Alarm], calm: list[Evidence]) -> None:
    given = calm[0]
    now = replace(given.history[-1], candidate=given.history[-1].champion)
    same = replace(given, start=given.candidate, champion=given.candidate, history=[now])
    assert alarm().check(same) == []


@every
def test_what_is_not_known_raises_nothing(alarm: type[Alarm], make_evidence: Callable, calm: list[Evidence]) -> None:
    start, candidate = calm[0].start, calm[0].candidate
    blank = [[unmarked(rollout) for rollout in group] for group in candidate]
    assert alarm().check(make_evidence()) == []
    assert alarm().check(make_evidence(start=start, candidate=[])) == []
    assert alarm().check(make_evidence(start=[], candidate=candidate)) == []
    assert alarm().check(make_evidence(start=start, candidate=blank)) == []
    assert alarm().check(make_evidence(start=blank, candidate=candidate)) == []
    assert alarm().check(make_evidence(start=blank, candidate=blank)) == []
    round_0 = replace(calm[0], history=[replace(calm[0].history[0], candidate=None, champion=Report(metrics={}))])
    assert all(alert.level == 1 for alert in alarm().check(round_0))


@every
def test_one_problem_with_one_sample_is_no_evidence(
    alarm: type[Alarm], make_evidence: Callable, make_audit: Callable
) -> None:
    for seed in range(20):
        one, other = [make_audit(10 * seed + i, problems=1, samples=1, nats=0.4 - 0.3 * i) for i in (0, 1)]
        assert alarm().check(make_evidence(start=one, candidate=other)) == []


@pytest.mark.runs
def test_all_alarms_together_veto_one_calm_round_in_fifty_at_most_and_show_something_in_one_of_eight(
    calm_levels: Callable[..., list[int]],
) -> None:
    highest = [max(levels) for levels in zip(*(calm_levels(alarm) for alarm in ALARMS), strict=True)]
    assert len(highest) == 200
    assert sum(level >= 2 for level in highest) <= 4
    assert sum(level >= 1 for level in highest) <= 25
