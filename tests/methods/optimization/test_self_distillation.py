"""`self_distillation`: divergences by hand, nothing to learn from an equal teacher, and that the student comes nearer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.methods.optimization.self_distillation import SelfDistillation, divergence
from selfimprove.records import Message, Prompt, Rollout
from selfimprove.training import Turn

torch = pytest.importorskip("torch")
SHORT: dict[str, Any] = {
    "learning_rate": 3e-3,
    "lr_scheduler_type": "constant",
    "per_device_train_batch_size": 16,
    "num_generations": 4,
    "max_completion_length": 6,
}


class Hinted:
    """Roles in which the hint stands before the problem; without words it is the problem itself."""

    def __init__(self, words: str) -> None:
        self.words = words

    def hint(self, prompt: Prompt, answer: str) -> list[Message]:
        return [{"role": "user", "content": self.words.format(answer=answer) + prompt.prompt[-1]["content"]}]

    def solution(self, prompt: Prompt) -> str | None:
        return None


def test_divergences_by_hand() -> None:
    student, teacher = (torch.tensor(row, dtype=torch.float64).log() for row in ([0.5, 0.5], [0.9, 0.1]))
    forward = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    reverse = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    middle = [0.7, 0.3]
    shannon = sum(
        0.5 * p * math.log(p / m) for row in ([0.5, 0.5], [0.9, 0.1]) for p, m in zip(row, middle, strict=True)
    )
    assert divergence(student, teacher, 0.0).item() == pytest.approx(forward)
    assert divergence(student, teacher, 1.0).item() == pytest.approx(reverse)
    assert divergence(student, teacher, 0.5).item() == pytest.approx(shannon)
    assert divergence(teacher, student, 0.5).item() == pytest.approx(shannon)
    assert [divergence(student, student, alpha).item() for alpha in (0.0, 0.3, 1.0)] == pytest.approx([0, 0, 0])


@pytest.mark.parametrize("teacher", ["start", "last", "ema"])
def test_with_equal_context_and_weights_there_is_nothing_to_learn(
    setting: Callable, questions: list[Prompt], teacher: str
) -> None:
    given = setting(roles=Hinted(""))
    SelfDistillation(**SHORT, teacher=teacher, max_steps=1).optimize(questions, given)
    assert given.log.metrics["train/divergence_first"] == pytest.approx(0, abs=1e-6)
    other = setting("other", roles=Hinted("it is {answer}. "))
    SelfDistillation(**SHORT, teacher=teacher, max_steps=1).optimize(questions, other)
    assert other.log.metrics["train/divergence_first"] > 0.01


@pytest.mark.long
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_student_comes_nearer_to_the_teacher(setting: Callable, questions: list[Prompt], alpha: float) -> None:
    """Than one that is not trained and says the same at first: how far apart they are differs with what was drawn."""
    apart = []
    for name, rate in (("still", 0.0), ("here", SHORT["learning_rate"])):
        given = setting(name, roles=Hinted("it is {answer}. "))
        options = {**SHORT, "learning_rate": rate, "alpha": alpha, "teacher": "start", "max_steps": 12}
        SelfDistillation(**options).optimize(questions[:4], given)
        found = given.log.metrics
        assert (found["train/steps"], found["train/taught"]) == (12, 1.0)
        apart.append((found["train/divergence_first"], found["train/divergence_last"]))
    still, here = apart
    assert still[0] == here[0] and here[1] < 0.85 * min(still)


def test_an_average_that_takes_all_of_the_new_weights_is_the_last_ones(
    setting: Callable, questions: list[Prompt]
) -> None:
    made = []
    for name, options in (("ema", {"teacher": "ema", "teacher_update_rate": 1.0}), ("last", {"teacher": "last"})):
        given = setting(name, roles=Hinted("it is {answer}. "))
        SelfDistillation(**SHORT, **options, max_steps=3).optimize(questions, given)
        made.append((Path(given.folder) / "model/model.safetensors").read_bytes())
    assert made[0] == made[1]


def test_the_context_of_the_group_is_the_first_other_completion_that_is_good(say: Callable) -> None:
    scores = [0.0, 1.0, None, 1.0]
    prompt = Prompt(prompt=[{"role": "user", "content": "?"}], key="?")
    group = [
        Turn(rollout=say(prompt, f"text {place}"), prompt_ids=[1], ids=[1], reward=score)
        for place, score in enumerate(scores)
    ]
    assert SelfDistillation()._others(group) == ["text 1", "text 3", "text 1", "text 1"]
    assert SelfDistillation(success=2.0)._others(group) == [None] * 4
    assert SelfDistillation()._others(group[:2]) == ["text 1", None]


def test_completions_of_problems_that_nobody_solves_are_left_out(setting: Callable, questions: list[Prompt]) -> None:
    def marks(rollouts: Sequence[Rollout]) -> list[Rollout]:
        solved = {prompt.id for prompt in questions[:6]}
        return [replace(one, reward=float(one.prompt.id in solved)) for one in rollouts]

    given = setting(reward=marks, roles=Hinted("it is {answer}. "))
    SelfDistillation(**SHORT, context="group", max_steps=3).optimize(questions, given)
    assert given.log.metrics["train/taught"] == pytest.approx(0.5)


def test_without_any_context_it_says_so(setting: Callable, questions: list[Prompt]) -> None:
    with pytest.raises(DataError, match="none of 32 completions has a context of kind 'solution'"):
        SelfDistillation(**SHORT, context="solution", max_steps=2).optimize(questions, setting(roles=Hinted("")))


@pytest.mark.parametrize("options", [{"context": "notes"}, {"teacher": "base"}])
def test_what_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        SelfDistillation(**options)
