"""Problems about Python functions: what is asked, what is right, which proposals are problems."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.methods.acquisition.propose import Propose
from selfimprove.methods.task.python_programs import PythonPrograms, key_of
from selfimprove.problems.splits import split_of
from selfimprove.recipe import compose
from selfimprove.records import Prompt, Rollout

SUM = "def f(a, b):\n    return a + b"
SQUARE = "def f(x):\n    # its square\n    return x*x"


def asked(form: str, code: str, *inputs: str) -> tuple[PythonPrograms, Prompt]:
    task, key = PythonPrograms(forms=form), key_of(code, list(inputs))
    prompt = task._prompt(str(key))
    assert prompt is not None and prompt.info == {"form": form}
    return task, prompt


def fenced(text: str) -> str:
    return f"It must be\n```python\n{text}\n```"


def test_deduction_asks_for_the_output() -> None:
    task, prompt = asked("D", SUM, "[1], [2]")
    assert "What does `f([1], [2])` return?" in prompt.prompt[-1]["content"] and prompt.answer == "[1, 2]"
    texts = (fenced("[1,2]"), "[1, 2]", fenced("(1, 2)"), fenced("[1] + [2]"), fenced("f([1], [2])"), "")
    assert [task.verify(prompt, text) for text in texts] == [1, 1, 0, 0, 0, 0]


def test_abduction_takes_any_arguments_that_give_the_output() -> None:
    task, prompt = asked("A", SQUARE, "3")
    assert "return `9`?" in prompt.prompt[-1]["content"] and "f(3)" not in prompt.prompt[-1]["content"]
    texts = (fenced("f(3)"), fenced("f(-3)"), "-3", fenced("f(4)"), fenced("f(3, 3)"), fenced("f('3')"), fenced("g(3)"))
    assert [task.verify(prompt, text) for text in texts] == [1, 1, 1, 0, 0, 0, 0]


def test_induction_takes_any_program_that_is_right_on_hidden_inputs_too() -> None:
    task, prompt = asked("I", SQUARE, "0", "2", "1", "3")
    said = prompt.prompt[-1]["content"]
    assert "f(0) == 0\nf(1) == 1\n" in said and "f(2)" not in said and "x * x" not in said
    right, shown_only = fenced("def f(n):\n    return sum([n] * n)"), fenced("def f(n):\n    return n")
    texts = (right, str(prompt.answer), shown_only, fenced("def g(n):\n    return n * n"), fenced("9"))
    assert [task.verify(prompt, text) for text in texts] == [1, 1, 0, 0, 0]


ODD = [
    *(
        "f(...)",
        "...",
        f"f({'[' * 70}{']' * 70})",
        f"f({'(' * 150}{',)' * 150})",
        "-" * 1900 + "1",
        "9" * 1990,
        "1e999",
    ),
    *(
        "f('\\ud800')",
        "f(b'\\xff', 1j)",
        "f({1, 2}, {3: {4}})",
        "f(*[1])",
        "f(x=1)",
        "f(" * 400,
        "[" * 1900,
        "\ud800",
        "\0",
    ),
]
"""Answers that are no plain arguments or values, or not such as a sandbox takes."""


@pytest.mark.parametrize("form", ["D", "A"])
def test_no_answer_ends_the_marking(form: str) -> None:
    task, prompt = asked(form, SUM, "1, 2")
    assert [task.verify(prompt, fenced(text)) for text in ODD] == [0.0] * len(ODD)


@pytest.mark.parametrize(
    "value",
    [
        "10 ** 5000",
        "[10 ** 4400]",
        "x if x else 1 / 0",
        "[[[]] * 99] * 99",
        "object()",
        "'\\ud800' * 99",
        "f",
        "iter([])",
    ],
)
def test_no_program_ends_the_making_of_problems(value: str) -> None:
    key = key_of(f"def f(x):\n    return {value}", ["0"])
    made = PythonPrograms(forms="D")._prompt(str(key))
    assert (made is not None) == ("ud800" in value)


def test_without_its_own_reference_nothing_is_marked() -> None:
    task, prompt = asked("D", SUM, "1, 2")
    assert task.verify(prompt.blind(), "3") is None and task.verify(replace(prompt, answer="4"), "3") is None


def test_a_key_is_the_program_without_its_looks() -> None:
    assert key_of(SQUARE, ["f( 3 )"]) == key_of("def f(x): return x * x", ["3"]) == "def f(x):\n    return x * x\n#< 3"
    bad = [
        ("def f(:", ["1"]),
        (SQUARE, []),
        (SQUARE, ["x"]),
        (SQUARE, ["1"] * 11),
        (SQUARE, ["f(x=1)"]),
        (SQUARE, ["'" + "a" * 3000 + "'"]),
    ]
    assert [key_of(code, inputs) for code, inputs in bad] == [None] * len(bad)


CLOCK = "import time\ndef f(x):\n    return time.perf_counter_ns()"


@pytest.mark.long
@pytest.mark.parametrize(
    ("code", "inputs", "valid"),
    [
        (SQUARE, "1\n2\n3\n4", True),
        (SQUARE, "1", True),
        (SQUARE, "'a'", False),  # it fails
        (SQUARE, "1\n'a'", False),
        (SQUARE, "", False),
        ("def g(x):\n    return x", "1", False),
        ("def f(x):\n    return print", "1", False),  # no plain value
        ("def f(x):\n    while True: pass", "1", False),
        ("def f(x):\n    open('/etc/passwd')", "1", False),
        (CLOCK, "1", False),  # another value each time
    ],
)
def test_a_proposal_is_a_problem_if_it_runs_and_repeats(code: str, inputs: str, valid: bool) -> None:
    task = PythonPrograms(cpu_seconds=1)
    found = task.roles().read_proposal(f"Hm.\n```python\n{code}\n```\nand\n\n```inputs\n{inputs}\n```\n")
    assert (found is not None) == valid
    if found:
        assert found.info["form"] in "DAI" and task.verify(found, str(found.answer)) == 1.0
    assert task.roles().read_proposal(code) is None


def test_every_form_is_asked_and_an_induction_takes_four_inputs() -> None:
    task = PythonPrograms()
    forms = {task._form(str(key_of(SQUARE, [str(i + j) for j in range(4)]))) for i in range(30)}
    few = {task._form(str(key_of(SQUARE, [str(i)]))) for i in range(30)}
    assert (forms, few) == ({"D", "A", "I"}, {"D", "A"})
    assert PythonPrograms(forms="I")._prompt(str(key_of(SQUARE, ["1"]))) is None


def opened(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> PythonPrograms:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return PythonPrograms(path=str(path), split="train", **options)


def test_rows_of_a_data_set_are_problems_and_bad_ones_are_told(tmp_path: Path) -> None:
    rows = [{"code": SQUARE, "input": str(i), "output": str(i * i)} for i in range(12)]
    found = [
        p
        for split in ("train", "selection", "gate", "audit", "sealed")
        for p in opened(tmp_path, rows).problems(split, None, 0)
    ]
    assert len(found) == 12 and all(opened(tmp_path, rows).verify(p, str(p.answer)) == 1.0 for p in found)
    worse = [*rows, {"code": SQUARE, "input": "'a'", "output": "?"}]
    with pytest.raises(DataError, match=r"row 12: the function returns no plain value.*skip_bad=1"):
        opened(tmp_path, worse).problems("train", None, 0)
    assert opened(tmp_path, worse, skip_bad=1).problems("train", None, 0)
    with pytest.raises(DataError, match="not a function f and the arguments"):
        opened(tmp_path, [{"code": "def f(:", "input": "1", "output": "1"}]).problems("train", None, 0)


@pytest.mark.parametrize("options", [{"forms": ""}, {"forms": "X"}])
def test_options_that_make_no_sense_are_refused(options: dict) -> None:
    with pytest.raises(RecipeError, match=r"task\.python_programs"):
        PythonPrograms(**options)


def test_a_round_of_self_play_pays_the_proposer_for_what_is_solved_now_and_then(
    make_context: Callable, make_engine: Callable
) -> None:
    """What the recipe does with a round: three functions, one solved half of the time, one always, one invalid."""
    task = PythonPrograms(forms="D")
    open_ = [key for i in range(40) if split_of(key := str(key_of(SQUARE, [str(i)]))) == "train"]
    hard, easy = (str(key) for key in open_[:2])
    answers: dict[str, dict[str, float]] = {}
    for key, right in ((hard, 0.5), (easy, 1.0)):
        prompt = task._prompt(key)
        assert prompt
        answers[prompt.prompt[-1]["content"]] = {fenced(str(prompt.answer)): right, fenced("0.5"): 1 - right}
    said = {key: "```python\n{}\n```\n```inputs\n{}\n```".format(*key.split("\n#< ")) for key in (hard, easy)}
    proposals = {said[hard]: 0.4, said[easy]: 0.3, "```python\ndef f(x): return x\n```": 0.3}
    answers[task.roles().propose(None)[-1]["content"]] = proposals

    def reward(rollouts: Sequence[Rollout]) -> list[Rollout]:
        return [replace(rollout, reward=task.verify(rollout.prompt, rollout.text)) for rollout in rollouts]

    context = make_context(make_engine(answers), roles=task.roles(), reward=reward, answer_of=task.answer_of)
    options = compose.load("code_absolute_zero")[1]["acquisition"]["propose"]
    made = Propose(**{**options, "problems": 30}).acquire([], context)
    proposed = [rollout for rollout in made if rollout.prompt.info.get("role") == "propose"]
    solved = [rollout for rollout in made if rollout not in proposed]
    assert len(solved) == 16 and {rollout.prompt.info["form"] for rollout in solved} == {"D"}
    rate = sum(rollout.reward or 0.0 for rollout in solved if rollout.prompt.key == hard) / 8
    assert 0 < rate < 1 and len(proposed) == 30
    worth = {said[hard]: 1 - rate, said[easy]: 0.0}
    assert {rollout.text for rollout in proposed} == {*proposals}
    assert all(rollout.reward == worth.get(rollout.text, -1.0) for rollout in proposed)
