"""Programs as rewards: the share of tests that pass, what became of the programs, and nothing for a trick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from selfimprove.errors import EngineError, RecipeError
from selfimprove.methods.reward.code_execution import CodeExecution
from selfimprove.problems.code_rows import reference
from selfimprove.records import Prompt, Rollout
from selfimprove.safety.sandbox.grading import Checks
from selfimprove.safety.sandbox.open import shared

CHECKS = Checks(function="f", calls=(([0], 1), ([2], 5), ([3], 10)), assertions=("assert f(1) > 1",))
PROBLEM = Prompt(prompt=[{"role": "user", "content": "x*x+1"}], answer=reference(None, CHECKS), key="x*x+1")
PROGRAMS = {
    "def f(x):\n    return x * x + 1": ("ok", 1.0),
    "def f(x):\n    return x * x + 1 if x != 2 else 0": ("wrong", 0.75),
    "def f(x):\n    return 1 // (x - 2) * 0 + x * x + 1": ("error", 0.75),
    "def f(x):\n    return 5": ("wrong", 0.5),
    "def f(x":  ("error", 0.0),
    "import os\nos._exit(0)": ("error", 0.0),
    "import socket\nsocket.socket()": ("refused", 0.0),
    "x = bytearray(1 << 40)": ("memory", 0.0),
    "def f(x):\n    while x == 3: pass\n    return x * x + 1": ("timeout", 0.5),  # no further test
    "class A(int):\n    def __eq__(s, o): return True\nf = lambda x: A(7)": ("wrong", 0.25),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _sandbox() -> None:
    try:
        shared()
    except EngineError as error:
        pytest.skip(str(error))


def answered(text: str, prompt: Prompt = PROBLEM) -> Rollout:
    return Rollout(prompt=prompt, completion=[{"role": "assistant", "content": text}])


@pytest.mark.long
def test_marks_by_hand_and_what_became_of_the_programs(make_context: Callable) -> None:
    group = [answered(f"So:\n```python\n{source}\n```") for source in PROGRAMS]
    context = make_context()
    [shares] = CodeExecution(mode="fraction", cpu_seconds=1).rate([group], context)
    assert shares == [share for _, share in PROGRAMS.values()]
    statuses = [status for status, _ in PROGRAMS.values()]
    counted = {name.partition("/")[2]: value for name, value in context.log.metrics.items()}
    assert counted == {
        status: pytest.approx(statuses.count(status) / len(statuses))
        for status in ("ok", "wrong", "error", "timeout", "memory", "output_limit", "refused")
    }
    [marks] = CodeExecution(cpu_seconds=1).rate([group[:4]], make_context())
    assert marks == [1.0, 0.0, 0.0, 0.0]


def test_a_completion_without_a_program_scores_0_and_a_problem_without_tests_none(make_context: Callable) -> None:
    other = replace(PROBLEM, answer="42")
    groups = [[answered(""), answered("```json\n{}\n```")], [answered("x = 1", other), answered("", PROBLEM.blind())]]
    assert CodeExecution().rate(groups, make_context()) == [[0.0, 0.0], [None, None]]


def test_equal_programs_run_once(make_context: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from selfimprove.methods.reward import code_execution

    ran, grade = [], code_execution.grade
    monkeypatch.setattr(code_execution, "grade", lambda *given, **how: (ran.append(given[1]), grade(*given, **how))[1])
    source = next(iter(PROGRAMS))
    assert CodeExecution().rate([[answered(source)] * 5], make_context()) == [[1.0] * 5]
    assert ran == [source]


def test_options_that_do_not_exist() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'fraction'"):
        CodeExecution(mode="fractions")
