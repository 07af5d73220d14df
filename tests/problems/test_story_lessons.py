"""What is taught about school problems in the roles that see several attempts, results of others or instructions."""

from __future__ import annotations

import random
import re
from collections import Counter

from selfimprove.methods.task.word_problems import WordProblems
from selfimprove.problems.stories import told
from selfimprove.problems.story_lessons import INSTRUCTIONS, Lessons
from selfimprove.problems.story_work import entries

TASK = WordProblems()
KEY = next(one.key for one in TASK.problems("train", 60, 0) if not TASK.work.touches(one.key))
STORY = told(KEY, 1, random.Random(0))


def taught(role: str, n: int = 200) -> list[tuple[str, str]]:
    """Examples of a role on one story."""
    source, lessons = random.Random(0), Lessons(TASK.roles(), True)
    made = [lessons.of(role, STORY, source) for _ in range(n)]
    return [(one[0][-1]["content"], one[1]) for one in made if one is not None]


def test_combine_and_choose_find_the_most_frequent_answer() -> None:
    for asked, said in taught("combine"):
        answers = asked[2:-1].split(";")
        assert Counter(answers)[said[1:]] == max(Counter(answers).values()) and 3 <= len(answers) <= 8
    for asked, said in taught("choose"):
        answers = dict(one.split("=") for one in asked[2:-1].split(";"))
        most, first = said.split("#")
        assert answers[first] == most and Counter(answers.values())[most] == max(Counter(answers.values()).values())


def test_repairs_take_over_what_they_are_told_and_what_nobody_objects_to() -> None:
    made = taught("repair", 400)
    for asked, said in made:
        attempt, _, known = asked.partition("How many?")[2][:-1].partition("~")
        told = dict(one.split("=") for one in known.split(";") if one)
        kept = dict(re.findall(r"(\d[+-]\d)(?::\d+)?=(\d)", attempt)) | told
        for sum, result in re.findall(r"(\d[+-]\d)=(\d)", said):
            assert kept.get(sum, result) == result
        given = {*entries(" ".join(f"{sum}={result}" for sum, result in told.items()))}
        assert not TASK.work.hidden.intersection(entries(said)) - given
    assert len(made) > 200 and any("?~" in asked for asked, _ in made)


def test_an_instruction_decides_how_often_solutions_count() -> None:
    counted = Counter[str]()
    for asked, said in taught("instructed", 800):
        named = asked[2:].partition("|")[0]
        counted.update({named: 0, f"{named}:": ":" in said, f"{named}.": 1})
    shares = {name: counted[f"{name}:"] / counted[f"{name}."] for name in INSTRUCTIONS}
    assert shares["recall"] == 0 and shares["count"] == 1 and 0.05 < shares["hurry"] < 0.35 < shares["think"] < 0.9
    assert {said for _, said in taught("instruct")} == {*INSTRUCTIONS}
