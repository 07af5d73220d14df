"""The task `code`: right programs are right however they are written, and tests that tell nothing apart are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, EngineError
from selfimprove.methods.task.code import CodeTask
from selfimprove.problems.gold import check_gold
from selfimprove.problems.splits import SPLITS
from selfimprove.records import Prompt
from selfimprove.safety.sandbox.open import shared

SQUARE = {
    "prompt": "Write f(x), which gives x*x+1.",
    "function": "f",
    "solution": "def f(x):\n    return x * x + 1",
    "tests": [{"arguments": [x], "result": x * x + 1} for x in range(4)],
}
ADD = {
    "prompt": "Add two numbers from the input.",
    "solution": "print(sum(map(int, input().split())))",
    "tests": [{"stdin": "1 2\n", "stdout": "3\n"}, {"stdin": "5 -5", "stdout": "0"}],
}
NEAR = {
    "text": "Half of a number.",
    "code": "def half(x):\n    return x / 2",
    "test_list": ["assert half(4) == 2", "assert abs(half(1) - 0.5) < 1e-9"],
}


@pytest.fixture(scope="module", autouse=True)
def _sandbox() -> None:
    try:
        shared()
    except EngineError as error:
        pytest.skip(str(error))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., CodeTask]:
    """`write(rows, option=...)`: the task with a file of these rows."""

    def make(*rows: Any, **options: Any) -> CodeTask:
        path = tmp_path / "code.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows))
        return CodeTask(path=str(path), **options)

    return make


def every(task: CodeTask) -> dict[int, Prompt]:
    """All problems of a task by line."""
    found = [prompt for split in SPLITS for prompt in task.problems(split, None, 0)]
    return {prompt.info["line"]: prompt for prompt in sorted(found, key=lambda prompt: prompt.info["line"])}


def fenced(source: str) -> str:
    return f"Here it is.\n```python\n{source}\n```"


def test_programs_are_marked_by_running_them(write: Callable) -> None:
    task = write(SQUARE, ADD, NEAR)
    square, add, near = every(task).values()
    for prompt, source, mark in (
        (square, "def f(y):\n    return 1 + y ** 2", 1.0),
        (square, "f = lambda x: sum([x] * x) + 1", 1.0),
        (square, "def f(x):\n    return x * x + 1 if x < 3 else 0", 0.0),
        (square, "def f(x):\n    return float(x * x + 1)", 0.0),
        (square, "def f(x:", 0.0),
        (add, "a, b = input().split()\nprint(int(a) + int(b))", 1.0),
        (add, "print(3)", 0.0),
        (near, "def half(x):\n    return x * 0.5", 1.0),
        (near, "def half(x):\n    return x // 2", 0.0),
    ):
        assert task.verify(prompt, fenced(source)) == mark, source
    assert task.verify(square, str(square.answer)) == 1.0
    assert task.verify(square, "I do not know.") == task.verify(square, "") == 0.0
    assert task.verify(square.blind(), fenced("def f(x): return x * x + 1")) is None


def test_an_assertion_that_became_too_strict_is_taken_back(write: Callable) -> None:
    answer = str(every(write(NEAR))[1].answer)
    assert "assert half(4) == 2" in answer and '"calls"' not in answer, "2.0 is what the row's own solution gives"
    assert '"calls"' in str(
        every(write({**NEAR, "code": "def half(x):\n    return x // 2 if x > 1 else x / 2"}))[1].answer
    )


def test_the_prompt_and_the_roles(write: Callable) -> None:
    task = write(SQUARE)
    [prompt] = every(task).values()
    assert [message["role"] for message in prompt.prompt] == ["system", "user"]
    assert prompt.prompt[1]["content"] == SQUARE["prompt"] and "x * x" not in json.dumps(prompt.prompt)
    roles = task.roles()
    assert roles.solution(prompt) == f"```python\n{SQUARE['solution']}\n```"
    hint = roles.hint(prompt, str(prompt.answer))[-1]["content"]
    assert SQUARE["solution"] in hint and "calls" not in hint
    assert task.answer_of(fenced("x = 1  \n\ny = 2")) == "x = 1\ny = 2" and task.answer_of("```python\n```") is None
    assert roles.solve("p")[-1]["content"] == "p" and task.verify(roles.read_proposal("Sort."), "x") is None


def test_references_are_right_with_and_without_a_solution(write: Callable) -> None:
    task = write(SQUARE, ADD, NEAR, {**SQUARE, "prompt": "no solution", "solution": None})
    problems = every(task)
    assert task.roles().solution(problems[4]) is None
    check_gold(task, problems.values())


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({**SQUARE, "solution": "def f(x):\n    return x"}, ["own solution fails", "wrong, 0 of 4 pass"]),
        ({**SQUARE, "solution": "def f(x:"}, ["own solution fails", "error:SyntaxError"]),
        ({**SQUARE, "solution": "import os\ndef f(x):\n    return os.fork()"}, ["own solution fails", "refused"]),
        ({**ADD, "solution": "print(3)"}, ["own solution fails", "1 of 2 pass"]),
        ({**SQUARE, "solution": None, "tests": ["assert f(1) is None"]}, ["without a body passes"]),
        ({**SQUARE, "solution": None, "tests": ["assert True"]}, ["without a body passes"]),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_rows_whose_tests_tell_nothing_are_refused_or_skipped(write: Callable, row: Any, words: list[str]) -> None:
    task = write(SQUARE, {**row, "prompt": "a bad one"}, ADD)
    with pytest.raises(DataError) as caught:
        every(task)
    message = str(caught.value)
    assert "code.jsonl:2: " in message and "task.code.skip_bad=1" in message and "\n" not in message
    assert all(word in message for word in words), message
    assert list(every(write(SQUARE, {**row, "prompt": "a bad one"}, ADD, skip_bad=1))) == [1, 3]


def test_a_file_is_checked_once(write: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    task = write(SQUARE)
    every(task)
    monkeypatch.setattr("selfimprove.methods.task.code.grade", None)
    assert len(every(CodeTask(path=task.path))) == 1
