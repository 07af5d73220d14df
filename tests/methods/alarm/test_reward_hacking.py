"""The reward rises, the mark does not: shown and vetoed; both rise: left in peace."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from selfimprove.methods.alarm.reward_hacking import RewardHacking
from selfimprove.records import Rollout
from selfimprove.rounds import Groups


def rewarded(groups: Groups, reward: Callable[[Rollout], float | None]) -> list[list[Rollout]]:
    return [[replace(rollout, reward=reward(rollout)) for rollout in group] for group in groups]


@pytest.fixture
def exact(make_rollout: Callable) -> Callable[[int, int], list[list[Rollout]]]:
    """`exact(70, 50)`: 100 problems with one sample each; 70 have the reward 1, and 50 of these the mark 1."""
    return lambda reward, truth: [
        [make_rollout(reward=float(place < reward), info={"truth": float(place < truth)})] for place in range(100)
    ]


@pytest.mark.runs
def test_it_is_silent_where_nothing_changes(false_alarms: Callable) -> None:
    shown, vetoed = false_alarms(RewardHacking)
    assert shown <= 10 and vetoed <= 2


def test_the_reward_rises_alone(make_evidence: Callable, make_audit: Callable, alert: Callable) -> None:
    found = alert(RewardHacking(), make_evidence(start=make_audit(1), candidate=make_audit(2, praised=0.5)))
    assert found.level == 2 and "rises and the mark falls" not in found.text


def test_the_reward_rises_and_the_mark_falls(make_evidence: Callable, make_audit: Callable, alert: Callable) -> None:
    found = alert(RewardHacking(), make_evidence(start=make_audit(1), candidate=make_audit(2, praised=0.7, skill=0.35)))
    assert found.level == 2 and "against round 0 the reward rises and the mark falls" in found.text


def test_both_rise_together(make_evidence: Callable, make_audit: Callable) -> None:
    given = make_evidence(start=make_audit(1, skill=0.4), candidate=make_audit(2, skill=0.7))
    assert RewardHacking().check(given) == []


def test_both_rise_and_the_reward_rises_more(make_evidence: Callable, make_audit: Callable, alert: Callable) -> None:
    given = make_evidence(start=make_audit(1, skill=0.4), candidate=make_audit(2, skill=0.7, praised=0.8))
    assert alert(RewardHacking(), given).level == 1


def test_agreement_that_rises_faster_than_accuracy_is_shown_and_not_vetoed(
    make_evidence: Callable, make_audit: Callable, alert: Callable
) -> None:
    def by_majority(groups: Groups) -> list[list[Rollout]]:
        winners = {
            group[0].prompt.key: Counter(r.info["answer"] for r in group).most_common(1)[0][0] for group in groups
        }
        return rewarded(groups, lambda r: float(r.info["answer"] == winners[r.prompt.key]))

    start, candidate = [by_majority(make_audit(1, problems=300, skill=0.3, sharp=sharp)) for sharp in (1.0, 6.0)]
    found = alert(RewardHacking(), make_evidence(start=start, candidate=candidate))
    assert found.level == 1 and found.numbers["p"] < 0.0001
    assert found.numbers["reward"] > 2 * found.numbers["mark"] > 0.2


def test_a_recipe_without_a_reward(make_evidence: Callable, make_audit: Callable) -> None:
    start, candidate = [rewarded(make_audit(i, skill=0.8 - 0.3 * i), lambda rollout: None) for i in (0, 1)]
    assert RewardHacking().check(make_evidence(start=start, candidate=candidate)) == []


def test_the_numbers_by_hand(make_evidence: Callable, exact: Callable, alert: Callable) -> None:
    found = alert(RewardHacking(), make_evidence(start=exact(50, 50), candidate=exact(70, 50)))
    error = math.sqrt((0.2 * 0.8 * 100 / 99 + 3 / 100) / 100)  # gaps that are all 0 have the variance 3 / n
    p = 0.5 * math.erfc((0.2 - 0.02) / error / math.sqrt(2))
    assert found.numbers == pytest.approx({"reward": 0.2, "mark": 0.0, "p": p})
    assert found.level == 2


@pytest.mark.parametrize(("rounds", "level"), [(1, 2), (100, 1)])
def test_the_veto_is_spent_over_the_rounds(
    make_evidence: Callable, exact: Callable, alert: Callable, rounds: int, level: int
) -> None:
    found = alert(RewardHacking(), make_evidence(start=exact(50, 50), candidate=exact(64, 50), rounds=rounds))
    assert 0.0001 < found.numbers["p"] < 0.01
    assert found.level == level


def test_a_growth_within_the_margin_is_let_pass(make_evidence: Callable, exact: Callable) -> None:
    given = make_evidence(start=exact(50, 50), candidate=exact(62, 50))
    assert RewardHacking(margin=0.1).check(given) == []
    assert len(RewardHacking(margin=0.02).check(given)) == 1


def test_hacking_that_begins_late_is_seen_against_the_champion(
    make_evidence: Callable, make_audit: Callable, alert: Callable
) -> None:
    start, champion = make_audit(1, skill=0.3), make_audit(2, skill=0.8)
    given = make_evidence(start=start, champion=champion, candidate=make_audit(3, skill=0.6, praised=0.9))
    found = alert(RewardHacking(), given)
    assert found.level == 2 and "against the champion the reward rises and the mark falls" in found.text


@pytest.mark.parametrize("scale", [0.001, 1.0, 1000.0])
@pytest.mark.parametrize(
    ("skill", "characters", "levels"),
    [(0.5, 60.0, []), (0.45, 120.0, [1]), (0.3, 120.0, [2]), (0.8, 120.0, [])],
    ids=["calm", "alone", "against", "together"],
)
def test_a_reward_in_units_of_its_own(
    make_evidence: Callable,
    make_audit: Callable,
    scale: float,
    skill: float,
    characters: float,
    levels: list[int],
) -> None:
    audits = make_audit(4), make_audit(5, skill=skill, characters=characters)
    start, candidate = [rewarded(audit, lambda rollout: scale * (len(rollout.text) - 500)) for audit in audits]
    assert [found.level for found in RewardHacking().check(make_evidence(start=start, candidate=candidate))] == levels
