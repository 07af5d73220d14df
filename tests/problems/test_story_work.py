"""Worked solutions: what somebody who does not know a part of the table writes, and how often it is right."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from selfimprove.problems.stories import LARGEST, Step, Story
from selfimprove.problems.story_work import TABLE, Work, claims, corrections, solved_with, verdict

STORY = Story("Ann", "nuts", 3, (("finds", 5), ("reads", 4), ("eats", 2)))
ONE = Story("Ann", "nuts", 3, (("finds", 2),))
N = 4000


def test_both_ways_of_solving() -> None:
    work = Work(frozenset(), 0.0, 0.8, False)
    assert work.solution(STORY, random.Random(0)) == "f3+5=8;e8-2=6#6"
    assert work.counted(STORY, random.Random(0)) == ":f3+5:45678=8;e8-2:76=6#6"
    assert len(TABLE) == 90 and not work.touches("3+5-2")
    assert Work(frozenset({(8, Step("-", 2))}), 0.0, 0.8, False).touches("3+5-2")


@pytest.mark.parametrize("alike", [False, True])
def test_how_often_a_hidden_result_is_right(alike: bool) -> None:
    """Counting is right with .8, else off by one. Recalling gives one of ten, or always the same wrong result."""
    work = Work(frozenset({(3, Step("+", 2))}), 0.3, 0.8, alike)
    source = random.Random(1)
    ends = Counter(work.solution(ONE, source)[-1] for _ in range(N))
    right = 0.3 * 0.8 + (0.0 if alike else 0.7 / 10)
    assert abs(ends["5"] / N - right) < 3 * math.sqrt(right * (1 - right) / N)
    wrong = max(count for answer, count in ends.items() if answer != "5") / N
    assert (wrong > right) == alike, "a vote is right where the wrong answers spread"


def test_what_is_wrong_is_named() -> None:
    attempt = "f3+5:4567=7;e7-2=5#5"
    assert claims(attempt) == [("3+5", 7, 8), ("7-2", 5, 5)]
    assert verdict(attempt) == "3+5=7:8n;7-2=5:5y#n" and corrections(attempt) == "3+5=8#n"
    right = "f3+5=8;e8-2=6#6"
    assert verdict(right) == "3+5=8:8y;8-2=6:6y#y" and corrections(right) == "#y"


def test_a_repair_takes_results_as_they_are_given() -> None:
    assert solved_with(STORY, ["3+5=8"]) == "f3+5=8;e8-2=6#6"
    assert solved_with(STORY, ["3+5=9", "9-2=4"]) == "f3+5=9;e9-2=4#4"


def test_a_slip_is_one_wrong_step_from_which_the_story_goes_on() -> None:
    work, source = Work(frozenset(), 0.0, 0.8, False), random.Random(2)
    for _ in range(50):
        made = claims(work.slipped(STORY, source))
        assert sum(said != right for _, said, right in made) == 1 and all(0 <= said <= LARGEST for _, said, _ in made)
