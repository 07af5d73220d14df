"""The task `code`: right programs are right however they are written, and tests that tell nothing apart are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.episodes import Question
from selfimprove.errors import DataError, EngineError, RecipeError
from selfimprove.inference.desk import Sessions
from selfimprove.methods.acquisition.code_episodes import CodeEpisodes
from selfimprove.methods.evaluation.accuracy import Accuracy
from selfimprove.methods.task.code import CodeTask
from selfimprove.problems.gold import check_gold
from selfimprove.problems.splits import SPLITS, closed, folded, split_of
from selfimprove.recipe import compose
from selfimprove.recipe.cost import estimate
from selfimprove.records import Prompt, Rollout
from selfimprove.rounds import Exam
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
        (near, "def half(x):\n    return x * 0.5", 1.0),  # 2.0 == 2 in Python, as in the published test
        (near, "def half(x):\n    return x // 2", 0.0),
    ):
        assert task.verify(prompt, fenced(source)) == mark, source
    assert task.verify(square, str(square.answer)) == 1.0
    assert task.verify(square, "I do not know.") == task.verify(square, "") == 0.0
    assert task.verify(square.blind(), fenced("def f(x): return x * x + 1")) is None


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
    monkeypatch.setattr("selfimprove.problems.checked_rows.grade", None)
    assert len(every(CodeTask(path=task.path))) == 1


# ---- the world of a problem --------------------------------------------------------------------------------------
def test_public_tests_are_a_tool_that_hides_the_others(write: Callable) -> None:
    task = write(SQUARE, ADD, test_tool=True, public=2)
    square, add = every(task).values()
    assert every(write(SQUARE))[1].given == {} == dict(write(SQUARE).tools(every(write(SQUARE))[1]))
    tool = task.tools(square.blind())["tests"]
    assert tool.call(fenced("def f(x):\n    return x + 1")) == "passed"  # right for 0 and 1, wrong for 2
    said = tool.call(fenced("def f(x):\n    return 5"))
    assert said.startswith("The program fails 2 of 2 tests.") and "f(2)" not in said and "Correct it" not in said
    assert tool.call("no idea").startswith("There is no program")
    assert task.tools(add)["tests"].call(fenced("print(3)")) == "passed", "one of two tests stays private"
    assert task.verify(add, fenced("print(3)")) == 0.0


def test_with_turns_a_problem_is_a_world_that_tells_of_public_tests_only(write: Callable) -> None:
    task = write(SQUARE, turns=2, public=1)
    [square] = every(task).values()
    assert task.replies() == 2 and write(SQUARE).replies() == 1
    world = task.open(square)
    assert world.step(None).news == square.prompt
    told = world.step({"role": "assistant", "content": fenced("def f(x):\n    return x")})
    assert told.player == "solve" and not told.rewards
    assert "fails 1 of 1 tests.\nf(0) must give 1: 0\n" in told.news[0]["content"], "the other three stay private"
    ended = world.step({"role": "assistant", "content": fenced(SQUARE["solution"])})
    assert (ended.player, ended.rewards) == (None, {"solve": 1.0})
    assert isinstance(write(SQUARE).open(square), Question), "by default it is asked once"
    alone = {**SQUARE, "tests": SQUARE["tests"][:1]}
    single = write(alone, turns=2)
    assert isinstance(single.open(*every(single).values()), Question), "its one test has to stay private"


def test_data_exams_and_audits_play_in_the_same_world(
    write: Callable, make_engine: Callable, make_policy: Callable, make_context: Callable
) -> None:
    """The engine is wrong at first and right after the feedback, so that one turn would be worth nothing."""
    task = write(SQUARE, turns=2, public=1)
    [square] = every(task).values()
    wrong, right = fenced("def f(x):\n    return x"), fenced(SQUARE["solution"])
    feedback = "The program fails 1 of 1 tests.\nf(0) must give 1: 0\nCorrect it: write the whole program in one"
    engine = make_engine({f"{feedback} ```python block.": {right: 1.0}}, wrong)
    policy = make_policy(engine, desk=Sessions(task))
    exam = Exam(problems=[square], verify=task.verify, probes={}, start=policy.checkpoint)
    report = Accuracy().evaluate(policy, exam)
    assert report.metrics["accuracy"].value == 1.0 and report.scores == {square.key: 1.0}
    [answer] = report.rollouts
    assert [message["role"] for message in answer.completion] == ["assistant", "user", "assistant"]
    [sample] = policy.plain().play([square])
    assert sample.rollout.reward == task.verify(square, sample.rollout.text) == 1.0, "as an audit plays and marks it"
    context = make_context(policy=policy)
    turns = CodeEpisodes(samples=1, turns=0).acquire([square], context)
    assert [turn.reward for turn in turns if isinstance(turn, Rollout)] == [1.0, 1.0]
    with pytest.raises(RecipeError, match="the task asks once: set task.code.turns=3"):
        CodeEpisodes(samples=1, turns=0).acquire([square], make_context(engine))


@pytest.mark.parametrize("split", ["train", "gate", "audit", "sealed"])
def test_a_data_stage_opens_no_world_of_a_held_out_problem(
    write: Callable, make_engine: Callable, make_policy: Callable, make_context: Callable, split: str
) -> None:
    text = next(f"Write f{i}." for i in range(1000) if split_of(folded(f"Write f{i}.")) == split)
    task = write({**SQUARE, "prompt": text}, turns=2)
    [problem] = every(task).values()
    context = make_context(policy=make_policy(make_engine(), desk=Sessions(task)))
    with closed("acquisition"):
        if split == "train":
            assert CodeEpisodes(samples=1, turns=0).acquire([problem], context)
        else:
            with pytest.raises(RecipeError, match=f"opened an episode with a problem of the {split} split"):
                CodeEpisodes(samples=1, turns=0).acquire([problem], context)


def test_check_counts_the_turns_of_a_world(write: Callable) -> None:
    rows = ({**SQUARE, "prompt": f"Write f{i}."} for i in range(25))
    path = f"task.code.path={write(*rows).path}"
    one, three = (
        estimate(compose.load("quickstart", ["task=code", path, *changes])[0])
        for changes in ([], ["task.code.turns=3"])
    )
    for part in ("evaluation", "audit"):
        assert three.parts[part].completions == 3 * one.parts[part].completions > 0
    assert three.parts["data"] == one.parts["data"], "rejection sampling asks once"
