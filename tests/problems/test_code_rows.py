"""Rows of programming problems: the published forms, what becomes of their assertions, and what is wrong with a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, MissingError
from selfimprove.problems.code_rows import checks_of, problem_of, read, reference
from selfimprove.problems.program_text import program_of
from selfimprove.safety.sandbox.grading import Checks

MBPP = {
    "task_id": 2,
    "text": "Write a function to find the shared elements of two lists.",
    "code": "def shared(a, b):\n    return tuple(set(a) & set(b))",
    "test_setup_code": "",
    "test_list": ["assert shared((1, 2), (2, 3)) == (2,)", "assert set(shared((1, 2, 3), (2, 3))) == {2, 3}"],
    "challenge_test_list": ["assert shared((), ()) == ()"],
}
HUMAN_EVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'from typing import List\n\n\ndef total(x: List[int]) -> int:\n    """ Add up. """\n',
    "entry_point": "total",
    "canonical_solution": "    return sum(x)\n",
    "test": "METADATA = {'author': 'x'}\n\n\ndef check(candidate):\n    'all'\n    assert candidate([1, 2]) == 3\n"
    "    assert abs(candidate([]) - 0) < 1e-6\n    assert candidate([-1]) == -1, 'negative'\n",
}
LIVE = {
    "question_content": "Twice the number.",
    "public_test_cases": json.dumps([{"input": "4\n", "output": "8\n", "testtype": "stdin"}]),
    "private_test_cases": [{"input": "0", "output": "0", "testtype": "stdin"}],
    "starter_code": "",
    "metadata": "{}",
}
LEET = {
    "question_content": "The indices of two numbers with that sum.",
    "public_test_cases": json.dumps([{"input": "[2, 7]\n9", "output": "[0, 1]", "testtype": "functional"}]),
    "starter_code": "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n        ",
    "metadata": json.dumps({"func_name": "twoSum"}),
}
DEEP = json.loads("[" * 80 + "]" * 80)


def test_mbpp() -> None:
    problem = problem_of(MBPP, 1)
    assert problem.text.startswith(MBPP["text"]) and problem.text.endswith(
        f"`shared` that passes:\n{MBPP['test_list'][0]}"
    )
    assert MBPP["test_list"][1] not in problem.text
    assert problem.checks == Checks(
        function="shared",
        calls=(([(1, 2), (2, 3)], (2,)), ([(), ()], ())),
        assertions=("assert set(shared((1, 2, 3), (2, 3))) == {2, 3}",),
        rule="python",
    )
    assert problem.solution == MBPP["code"]
    assert problem_of({**MBPP, "code": None}, 0).checks.function == "shared", (
        "without a solution the name is in the tests"
    )
    sanitized = {"prompt": "p", "code": MBPP["code"], "test_imports": ["import math"], "test_list": MBPP["test_list"]}
    assert problem_of(sanitized, 0).checks.setup == "import math"


def test_human_eval() -> None:
    problem = problem_of(HUMAN_EVAL, 1)
    assert HUMAN_EVAL["prompt"].strip() in problem.text
    assert problem.solution == HUMAN_EVAL["prompt"] + HUMAN_EVAL["canonical_solution"]
    assert problem.checks == Checks(
        function="total",
        imports="from typing import List",
        head='def total(x: List[int]) -> int:\n    """ Add up. """',
        rule="python",
        setup="METADATA = {'author': 'x'}",
        calls=(([[1, 2]], 3), ([[-1]], -1)),
        assertions=("assert abs(candidate([]) - 0) < 1e-06",),
    )


def test_human_eval_with_a_loop_is_one_assertion() -> None:
    test = "def check(candidate):\n    for i in range(3):\n        assert candidate([i]) == i\n"
    checks = problem_of({**HUMAN_EVAL, "test": test}, 1).checks
    assert (checks.calls, checks.assertions) == ((), ("check(candidate)",)) and "for i in range(3)" in checks.setup


def test_live_code_bench() -> None:
    assert problem_of(LIVE, 1).checks == Checks(scripts=(("4\n", "8\n"), ("0", "0")), rule="livecodebench")
    checks = problem_of(LEET, 1).checks
    assert checks == Checks(function="Solution.twoSum", calls=(([[2, 7], 9], [0, 1]),), rule="livecodebench")
    assert "class Solution" in problem_of(LEET, 1).text


def test_the_own_form() -> None:
    row = {
        "prompt": "p",
        "function": "f",
        "tests": [{"arguments": [1, [2]], "result": {"a": None}}, {"stdin": "x", "stdout": "y"}, "assert f(1) == 2"],
        "tolerance": 1e-6,
    }
    expected = Checks(
        function="f",
        calls=(([1, [2]], {"a": None}),),
        scripts=(("x", "y"),),
        assertions=("assert f(1) == 2",),  # Python's ==; the calls are compared with their types
        tolerance=1e-6,
    )
    assert problem_of(row, 1).checks == expected


@pytest.mark.parametrize(
    ("assertion", "call"),
    [
        ("assert f(1, 'a') == [2.0]", ([1, "a"], [2.0])),
        ("assert candidate(-1) == {1: (True, None)}", ([-1], {1: (True, None)})),
        ("assert f(1) == 2, 'text'", ([1], 2)),
        ("assert f(x=1) == 2", None),
        ("assert f(*[1]) == 2", None),
        ("assert g(1) == 2", None),
        ("assert f(1) != 2", None),
        ("assert f(1) == f(2)", None),
        ("assert f(g(1)) == 2", None),
        ("assert f(1) == 2 == 2", None),
        ("assert not f(1)", None),
        ("assert f(1)", None),
        ("x = 1\nassert f(1) == 2", None),
        ("assert f(1) == object", None),
        ("assert f(1) == __import__('os').getpid()", None),
        ("assert f(", None),
    ],
)  # fmt: skip
def test_which_assertions_become_calls(assertion: str, call: Any) -> None:
    checks = problem_of({"prompt": "p", "function": "f", "tests": ["assert f(0)", assertion]}, 1).checks
    assert checks.calls == (() if call is None else (call,))
    assert checks.assertions == (("assert f(0)",) if call else ("assert f(0)", assertion))


def test_a_text_may_be_one_message_in_parts() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "p"}]}]
    assert problem_of({"prompt": parts, "function": "f", "tests": ["assert f(1)"]}, 1).text == "p"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "p", "answer": "1"}, ["no column 'tests'"]),
        ({"prompt": "p", "test": []}, ["no column 'tests'", "Did you mean 'test'?"]),
        ({"tests": ["assert f(1)"], "function": "f"}, ["form own", "'prompt'"]),
        ({"prompt": " ", "tests": ["assert f(1)"], "function": "f"}, ["no text"]),
        ({"prompt": None, "tests": ["assert f(1)"], "function": "f"}, ["'prompt' is empty"]),
        ({**MBPP, "prompt": 7}, ["'prompt' must be a text", "7"]),
        ({**MBPP, "prompt": [{"role": "user", "content": "p"}] * 2}, ["conversation of 2 messages"]),
        ({"prompt": "p", "tests": []}, ["no tests"]),
        ({"prompt": "p", "tests": [{"input": 1}]}, ["{arguments, result}"]),
        ({"prompt": "p", "tests": 5}, ["form own", "TypeError"]),
        ({"prompt": "p", "tests": [{"arguments": [1], "result": 2}]}, ["which function"]),
        ({"prompt": "p", "function": "f()", "tests": [{"arguments": [1], "result": 2}]}, ["which function"]),
        ({"prompt": "p", "function": "f", "tests": [{"arguments": [1], "result": None}]}, ["does nothing"]),
        ({"prompt": "p", "tests": [{"stdin": "x", "stdout": " \n"}]}, ["does nothing"]),
        ({"prompt": "p", "function": "f", "solution": 5, "tests": ["assert f(1)"]}, ["is not a text"]),
        ({"prompt": "p", "function": "f", "tests": [{"arguments": [DEEP], "result": 1}]}, ["nested more than"]),
        ({**MBPP, "test_list": ["assert ("]}, ["form mbpp", "SyntaxError"]),
        ({**MBPP, "code": "def other(): pass", "test_list": ["assert abs(-1) == 1"]}, ["which function"]),
        ({**HUMAN_EVAL, "test": "x = 1"}, ["form human_eval"]),
        ({**LIVE, "private_test_cases": "eJxrYJl6"}, ["private_test_cases is not JSON", "not unpacked"]),
        ({**LEET, "metadata": "{}"}, ["which function"]),
        *(
            ({"prompt": "p", "tests": [{"stdin": "", "stdout": "1"}], "tolerance": number}, ["from 0 to below 1"])
            for number in (-1, 1, 1e999, True, "1_0", [1])
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_is_wrong_is_said_in_one_line(row: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        problem_of(row, 1)
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words), str(caught.value)


def test_a_file_of_several_forms(tmp_path: Path) -> None:
    path = tmp_path / "code.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in (MBPP, HUMAN_EVAL, "no row", LIVE, MBPP, LEET)))
    problems, counts = read(path, 1, 1, "leave_out")
    assert [problem.line for problem in problems] == [1, 2, 4, 6]
    assert {name: n for name, n in counts.items() if n} == {"rows": 6, "skipped": 1, "duplicates": 1}
    with pytest.raises(DataError, match=r"code\.jsonl:3: not a JSON object"):
        read(path, 0, 1, "leave_out")
    with pytest.raises(MissingError, match="task.code.path: the file .* does not exist"):
        read(tmp_path / "none", 0, 1, "leave_out")


def test_problems_that_differ_in_case_stay_apart_and_one_text_with_other_tests_is_left_out(tmp_path: Path) -> None:
    rows = [(text, {"prompt": text, "function": "f", "tests": [f"assert f({i})"]}) for i, text in enumerate("aAbb")]
    path = tmp_path / "code.jsonl"
    path.write_text("\n".join(json.dumps(row) for _, row in rows))
    for conflicts, texts in (("leave_out", ["a", "A"]), ("keep", ["a", "A", "b", "b"])):
        problems, counts = read(path, 0, 1, conflicts)
        assert [problem.text for problem in problems] == texts
        assert len({problem.key for problem in problems}) == len(texts)
        assert (counts["conflicting"], counts["alike"], counts.first["conflicting"]) == (1, 2, 4)


def test_a_reference_is_read_as_it_was_written() -> None:
    checks = problem_of(MBPP, 1).checks
    for solution in (MBPP["code"], None):
        answer = reference(solution, checks)
        assert (checks_of(answer), program_of(answer)) == (checks, solution)
    for other in (None, "", "8", "```tests\nx\n```", "```python\nx\n```"):
        assert checks_of(other) is None
