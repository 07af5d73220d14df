"""Forms of the synthetic tasks: equal shares of levels, no label that dominates, and forms that are equally hard."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, variance

import pytest

from selfimprove.interfaces import Task
from selfimprove.methods.task.addition import Addition
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.methods.task.countdown import Countdown
from selfimprove.methods.task.list_programs import ListPrograms
from selfimprove.methods.task.word_problems import WordProblems
from selfimprove.records import Prompt

SIZE = 300
TASKS = {
    "chain_sums": ChainSums(),
    "addition": Addition(),
    "countdown": Countdown(),
    "list_programs": ListPrograms(),
    "word_problems": WordProblems(),
}
FORMS = 40
"""Five forms of an ideal generator have more than 1.5 times the expected variance in 19 % of all cases, 40 in 2 %."""


@dataclass
class Lopsided(ChainSums):
    """A broken generator: every other form is of the shortest problems only."""

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        one = ChainSums(min_length=4, max_length=4) if seed % 2 else ChainSums()
        return one.problems(split, n, seed, part)


def solver(task: Task) -> Callable[[Prompt], float]:
    """A frozen answerer: right with probability 0.9 at the lowest level, 0.2 at the highest, evenly between."""
    levels = sorted({p.info["level"] for p in task.problems("gate", 60, 0)})
    chance = {level: 0.9 - 0.7 * i / (len(levels) - 1) for i, level in enumerate(levels)}

    def answer(prompt: Prompt) -> float:
        drawn = int(hashlib.sha256(f"answer {prompt.key}".encode()).hexdigest()[:12], 16) / 16**12
        return float(drawn < chance[prompt.info["level"]])

    return answer


def effect(task: Task, right: Callable[[Prompt], float], forms: int) -> float:
    """The variance of a frozen answerer's score over regenerated forms, as a multiple of the binomial one."""
    size = SIZE // 2
    scores = [fmean(map(right, task.problems("gate", size, seed))) for seed in range(forms)]
    share = fmean(scores)
    return variance(scores) / (share * (1 - share) / size)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("split", ["gate", "sealed"])
def test_the_levels_of_every_form_stand_in_equal_shares(name: str, split: str) -> None:
    task = TASKS[name]
    levels = range(task.min_length, task.max_length + 1)
    for seed in range(2):
        for part in ((0, 3), (2, 3)):
            problems = task.problems(split, SIZE, seed, part)
            assert Counter(p.info["level"] for p in problems) == dict.fromkeys(levels, SIZE // len(levels))


@pytest.mark.parametrize("name", TASKS)
def test_no_label_has_more_than_a_fifth(name: str) -> None:
    labels = Counter(p.answer for p in TASKS[name].problems("gate", 1000, 0))
    assert max(labels.values()) <= 200


@pytest.mark.long
@pytest.mark.parametrize("name", TASKS)
def test_regenerated_forms_are_equally_hard(name: str) -> None:
    task = TASKS[name]
    assert effect(task, solver(task), FORMS) <= 1.5


def test_five_forms_of_chain_sums_are_equally_hard() -> None:
    assert effect(ChainSums(), solver(ChainSums()), 5) <= 1.5


def test_a_generator_whose_forms_differ_is_found_out() -> None:
    assert effect(Lopsided(), solver(ChainSums()), 5) > 20
