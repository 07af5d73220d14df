"""Whose model is champion and whose is on trial: from decisions alone."""

from __future__ import annotations

from typing import Any

from selfimprove.report.makers import Makers, makers, named


def line(number: int, verdict: str, certified: bool = False) -> dict[str, Any]:
    return {"round": number, "decision": {"verdict": verdict, "certified": certified}}


def test_a_model_on_trial_becomes_champion_a_round_later_or_by_the_last_test() -> None:
    rounds = [{"round": 0}, line(1, "accept"), line(2, "accept", True), line(3, "reject"), line(4, "rollback")]
    tests = {3: {"verdict": "hold", "certified": True}}
    found = [made for _, made in makers(rounds, tests)]
    assert found == [Makers(0, 0), Makers(0, 0), Makers(0, 1), Makers(1, 2), Makers(2, 2)]


def test_of_the_last_rounds_alone_what_came_before_is_not_known() -> None:
    found = [made for _, made in makers([line(7, "hold"), line(8, "certify"), line(9, "hold")])]
    assert found == [Makers(None, None), Makers(None, None), Makers(8, 8)]
    assert [named(one) for one in (0, 3, None)] == ["start", "round 3", "the model on trial"]
