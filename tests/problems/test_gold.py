"""`check_gold`: every task finds its own reference answers right, and one that does not is named in one line."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, EngineError
from selfimprove.interfaces import Task
from selfimprove.methods.task.addition import Addition
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.methods.task.countdown import Countdown
from selfimprove.methods.task.jsonl import JsonlTask
from selfimprove.methods.task.list_programs import ListPrograms
from selfimprove.methods.task.word_problems import WordProblems
from selfimprove.problems.gold import check_gold
from selfimprove.records import Prompt


@dataclass
class Told(ChainSums):
    """A task whose rule says what it is told to say of any text."""

    says: Any = 1.0
    """The mark, or the exception that is raised."""

    def verify(self, prompt: Prompt, text: str) -> Any:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def problem(answer: str | None = "8") -> Prompt:
    return Prompt(prompt=[{"role": "user", "content": "3+5"}], answer=answer, key="3+5")


def objection(task: Task, *problems: Prompt) -> str:
    with pytest.raises(DataError) as caught:
        check_gold(task, problems)
    message = str(caught.value)
    assert message.isprintable() and caught.value.code == 65
    return message


@pytest.mark.parametrize(
    "task",
    [
        ChainSums(),
        ChainSums(modulus=7),
        Addition(),
        Addition(shift=None, base=3),
        Countdown(),
        ListPrograms(),
        WordProblems(),
    ],
)
def test_the_synthetic_tasks_find_their_references_right(task: Task) -> None:
    for split in ("train", "gate", "audit", "sealed"):
        check_gold(task, task.problems(split, 60, 1))


@pytest.mark.parametrize(
    ("verifier", "answers"),
    [
        ("exact", ["Paris", "two\nlines", "3 + 5 is 8, so\n#### 8", "the result is \\boxed{\\frac{1}{2}}.", "\uff21b"]),
        ("choice", ["B", "(b)", "B.", "It must be C.\n#### d"]),
        ("math", ["8", "1,080", "\\frac{1}{2}", "x^2+2x+1", "[0, 1)", "3 + 5 is 8\n#### 8", "\\{1, 2\\}", "50\\%"]),
    ],
)
def test_a_file_s_references_are_right_however_they_are_written(
    verifier: str, answers: list[str], tmp_path: Path
) -> None:
    lines = [json.dumps({"prompt": f"problem {i}", "answer": answer}) for i, answer in enumerate(answers * 4)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    task = JsonlTask(path=str(tmp_path / "data.jsonl"), verifier=verifier)
    problems = [p for split in ("train", "selection", "gate", "audit", "sealed") for p in task.problems(split, None, 0)]
    assert len(problems) == len(lines)
    check_gold(task, problems)


def test_a_wrong_reference_is_named_with_what_the_rule_said() -> None:
    task = ChainSums()
    right, wrong = task.problems("gate", 2, 0)
    broken = replace(wrong, answer=str((int(str(wrong.answer)) + 1) % 10))
    check_gold(task, [right, wrong])
    assert objection(Told(says=0.0), right).startswith(
        f"problem {right.id} ({right.key!r}): the task gives 0, not 1, to"
    )
    graded = Told(says=0.25)
    assert f"gives 0.25, not 1, to its own reference answer {broken.answer!r}" in objection(graded, broken)


def test_a_reference_that_the_rule_cannot_read() -> None:
    task = JsonlTask(path="unread", verifier="math")
    unread = problem("see the figure")
    assert "cannot read its own reference answer 'see the figure'" in objection(task, problem(), unread)


def test_a_rule_that_fails_on_a_reference() -> None:
    message = objection(Told(says=ValueError("no\nnumber")), problem())
    assert "fails (ValueError: no number) on its own reference answer '8'" in message and problem().id in message


def test_a_missing_package_is_no_fault_of_the_reference() -> None:
    with pytest.raises(EngineError, match="install"):
        check_gold(Told(says=EngineError("install math_verify")), [problem()])


def test_a_problem_without_a_reference_is_passed_over() -> None:
    check_gold(Told(says=None), [problem(None)])


def test_the_first_bad_one_of_many_is_named() -> None:
    task = ChainSums()
    problems = task.problems("gate", 50, 0)
    bad = replace(problems[30], answer="x")
    assert bad.id in objection(task, *problems[:30], bad, replace(problems[31], answer="y"))


def test_a_tenth_of_the_references_may_be_unreadable_as_in_the_task_itself() -> None:
    task = JsonlTask(path="unread", verifier="choice")
    readable = [problem("B") for _ in range(9)]
    check_gold(task, [problem("Paris"), *readable])
    assert "2 of 11 references cannot be read, the first: problem" in objection(
        task, *[problem("Paris")] * 2, *readable
    )
    assert "gives 0, not 1" in objection(Told(says=0.0), *readable * 9), "a wrong one is never passed over"
