"""Hill climbing: any gain counts, and so does any luck."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from selfimprove.methods.gate.keep_best import KeepBest
from selfimprove.methods.gate.paired_test import PairedTest
from selfimprove.records import Alert


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ([1, 0, 0], [1, 1, 0], "certify"),
        ([1, 1, 0], [1, 0, 0], "reject"),
        ([1, 0, 0], [0, 1, 0], "reject"),  # equal is not better
        ([0.5, 0.5], [0.5, 0.6], "certify"),
        ([0], [0], "reject"),
    ],
)
def test_the_higher_mean_wins(make_report: Callable, old: list, new: list, verdict: str) -> None:
    champion, candidate = make_report(old), make_report(new)
    decision = KeepBest().decide(champion, make_report([1] * len(old)), candidate, [], [], 3)
    assert decision.verdict == verdict
    assert decision.statistics == {
        "champion": pytest.approx(sum(old) / len(old)),
        "candidate": pytest.approx(sum(new) / len(new)),
    }


def test_a_level_2_alarm_vetoes_and_a_level_1_alarm_does_not(make_report: Callable) -> None:
    old, new = make_report([0.0] * 9), make_report([1.0] * 9)
    shown, grave = (Alert(alarm="length", level=level, text="x") for level in (1, 2))
    assert KeepBest().decide(old, old, new, [shown], [], 3).verdict == "certify"
    vetoed = KeepBest().decide(old, old, new, [shown, grave], [], 3)
    assert vetoed.verdict == "reject" and vetoed.reason == "1.000 against 0.000; vetoed by length"


def test_it_is_fooled_by_noise_where_the_paired_test_is_not(make_report: Callable) -> None:
    source, fooled, certified = random.Random(1), 0, 0
    for _ in range(200):  # two policies that are equally good
        champion, candidate = (make_report([source.random() < 0.5 for _ in range(100)]) for _ in range(2))
        fooled += KeepBest().decide(champion, champion, candidate, [], [], 1).verdict == "certify"
        certified += PairedTest().decide(champion, champion, candidate, [], [], 1).verdict == "certify"
    assert fooled > 70 and certified <= 20  # near one half, and at most 5 % plus three standard errors
