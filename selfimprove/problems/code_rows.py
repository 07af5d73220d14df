"""Reads programming problems in the published forms, and writes and reads their references as text.

Not a method: the task `code` and the reward `code_execution` use it. The columns tell the form:

    own            prompt, tests: [{arguments, result} | {stdin, stdout} | "assert ..."], function, solution, tolerance
    MBPP           text or prompt, test_list, test_setup_code or test_imports, challenge_test_list, code
    HumanEval      prompt, test, entry_point, canonical_solution
    LiveCodeBench  question_content, public_test_cases, private_test_cases, starter_code, metadata

An assertion of the kind `assert f(1, [2]) == 3` becomes a call and a value, which are compared outside of the sandbox;
any other stays an assertion. `Checks.rule` says how: the own form's calls with their types, assertions with Python's
`==`, LiveCodeBench's rows as its own code does it. Where a row of the own form has both, assertions stay.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.problems.cells import clean, text_of
from selfimprove.problems.jsonl_rows import lines, values_of
from selfimprove.problems.rows import Counts, gathered, told
from selfimprove.records import Message
from selfimprove.registry import nearest
from selfimprove.safety.sandbox import grading, rules, values
from selfimprove.safety.sandbox.grading import Checks

_TESTS = "tests"
_BLOCK = re.compile(rf"^```{_TESTS}[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One programming problem."""

    line: int = 0
    text: str
    checks: Checks
    solution: str | None = None
    key: str = ""
    """See `rows.Row.key`."""


# ---- references as text ----------------------------------------------------------------------------------------------
def reference(solution: str | None, checks: Checks) -> str:
    """A problem's answer as text: the solution and the tests, each in a block of its own."""
    block = f"```python\n{solution.rstrip()}\n```\n" if solution else ""
    return f"{block}```{_TESTS}\n{checks.dumps()}\n```"


def checks_of(answer: str | None) -> Checks | None:
    """The tests in a reference, its last block, whatever its solution contains; None if it has no tests."""
    found = _BLOCK.findall(answer or "")
    try:
        return grading.loads(found[-1].strip()) if found else None
    except values.ValueRefused:
        return None


# ---- rows ------------------------------------------------------------------------------------------------------------
def read(path: Path, skip_bad: int, shown: int, conflicts: str) -> tuple[list[Problem], Counts]:
    """The problems of a file, and the counts of its rows; one text with other tests is a contradiction.

    Args:
        skip_bad: number of unreadable rows that may be skipped.
        shown: assertions that the prompt shows, if the form does not name the function otherwise.
        conflicts: what becomes of contradictions, see `rows.WAYS`.

    Raises:
        UserError: the file cannot be read, or too many of its rows.
    """
    made: dict[int, Problem] = {}

    def row(numbered: tuple[int, bytes]) -> tuple[list[Message], str]:
        number, line = numbered
        made[number] = problem = problem_of(values_of(line), shown)
        return [{"role": "user", "content": problem.text}], problem.checks.dumps()

    kept, counts = gathered(
        ((number, (number, line)) for number, line in lines(path, "task.code.path")),
        row,
        lambda number: f"{path}:{number}",
        skip_bad=skip_bad,
        skip_option="task.code.skip_bad",
        conflicts=conflicts,
    )
    if not kept:
        raise DataError("; ".join([f"task.code.path: {path} has no rows", *told(counts, conflicts)]))
    return [replace(made[one.line], line=one.line, key=one.key) for one in kept], counts


def problem_of(row: dict[str, Any], shown: int) -> Problem:
    """A row as a problem.

    Raises:
        DataError: it has none of the forms, or cannot be read as the form that its columns tell.
    """
    form = next((form for column, form in _FORMS.items() if column in row), None)
    if form is None:
        raise DataError(f"no column {_LAST!r}, nor one of another form.{nearest(_LAST, row)}")
    try:
        problem = form(row, shown)
        problem.checks.dumps()
    except (
        values.ValueRefused,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
        MemoryError,
        SyntaxError,
    ) as error:
        named = f"no column {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise DataError(f"not a row of the form {form.__name__.strip('_')}: {' '.join(named.split())[:120]}") from error
    if not problem.text.strip():
        raise DataError("the problem has no text")
    if not len(problem.checks):
        raise DataError("the problem has no tests")
    needed = bool(problem.checks.calls or problem.checks.assertions)
    if needed and not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", problem.checks.function):
        raise DataError("nothing says which function the tests call: give its name in the column 'function'")
    wanted = [value for _, value in problem.checks.calls] + [text.strip() or None for _, text in problem.checks.scripts]
    if wanted and not problem.checks.assertions and all(value is None for value in wanted):
        raise DataError("a program that does nothing passes the tests")
    return problem


def _own(row: dict[str, Any], shown: int) -> Problem:
    calls = [(test["arguments"], test["result"]) for test in row["tests"] if "arguments" in test]
    scripts = [(test["stdin"], test["stdout"]) for test in row["tests"] if "stdin" in test]
    assertions = [test for test in row["tests"] if isinstance(test, str)]
    if len(calls) + len(scripts) + len(assertions) < len(row["tests"]):
        raise ValueError("a test is {arguments, result}, {stdin, stdout} or an assertion")
    solution, tolerance = _text(row.get("solution")), row.get("tolerance")
    if not grading.is_tolerance(tolerance):
        raise ValueError(f"the tolerance {str(tolerance)[:20]} is not a number from 0 to below 1")
    function = str(row.get("function") or (_called(assertions, solution) if assertions else ""))
    return _problem(
        text=text_of(row, "prompt"),
        solution=solution,
        assertions=assertions,
        checks=Checks(
            function=function,
            calls=tuple((list(arguments), result) for arguments, result in calls),
            scripts=tuple((_text(given) or "", _text(wanted) or "") for given, wanted in scripts),
            tolerance=None if tolerance is None else float(tolerance),
            rule="" if calls or not assertions else rules.PYTHON,
        ),
    )


def _mbpp(row: dict[str, Any], shown: int) -> Problem:
    solution, tests = _text(row.get("code")), [str(test) for test in row["test_list"]]
    setup = "\n".join([*(row.get("test_imports") or []), row.get("test_setup_code") or ""]).strip()
    function = _called(tests, solution)
    examples = "\n".join(tests[:shown])
    text = text_of(row, "prompt" if "prompt" in row else "text").strip()
    text += f"\n\nThe program must have a function `{function}`" + (f" that passes:\n{examples}" if examples else ".")
    more = [str(test) for test in row.get("challenge_test_list") or []]
    return _problem(
        text=text,
        solution=solution,
        assertions=[*tests, *more],
        checks=Checks(function=function, setup=setup, rule=rules.PYTHON),
    )


def _human_eval(row: dict[str, Any], shown: int) -> Problem:
    start, function = text_of(row, "prompt"), str(row["entry_point"])
    head = re.search(rf"^(?:async +)?def +{re.escape(function)}\b", start, re.MULTILINE)
    tree = ast.parse(row["test"])
    check = next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"), None)
    if check is None:
        raise ValueError("the test defines no function check")
    setup = [node for node in tree.body if node is not check]
    body = [node for node in check.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    assertions = [ast.unparse(node) for node in body]
    if not all(isinstance(node, ast.Assert) for node in body):  # statements between assertions matter: keep the whole
        setup, assertions = tree.body, ["check(candidate)"]
    solution = _text(row.get("canonical_solution"))
    return _problem(
        text=f"Complete this program:\n\n```python\n{start.strip()}\n```",
        solution=start + solution if solution else None,
        assertions=assertions,
        checks=Checks(
            function=function,
            imports=start[: head.start()].strip() if head else "",
            head=start[head.start() :].rstrip() if head else "",
            setup="\n".join(ast.unparse(node) for node in setup),
            rule=rules.PYTHON,
        ),
    )


def _live_code_bench(row: dict[str, Any], shown: int) -> Problem:
    tests = []
    for column in ("public_test_cases", "private_test_cases"):
        given = row.get(column) or []
        try:
            tests += json.loads(given) if isinstance(given, str) else given
        except ValueError as error:
            raise ValueError(f"{column} is not JSON; packed or pickled values are not unpacked") from error
    metadata = row.get("metadata") or {}
    metadata = json.loads(metadata) if isinstance(metadata, str) else metadata
    starter, function = str(row.get("starter_code") or ""), str(metadata.get("func_name") or "")
    called = f"Solution.{function}" if "class Solution" in starter and function else function
    functional = [test for test in tests if test.get("testtype") == "functional"]
    text = text_of(row, "question_content").strip()
    text += f"\n\nStart from this:\n\n```python\n{starter.strip()}\n```" if starter.strip() else ""
    return _problem(
        text=text,
        solution=_text(row.get("solution")),
        assertions=[],
        checks=Checks(
            function=called,
            rule=rules.LIVE_CODE_BENCH,
            calls=tuple(
                ([json.loads(line) for line in test["input"].splitlines() if line.strip()], json.loads(test["output"]))
                for test in functional
            ),
            scripts=tuple((test["input"], test["output"]) for test in tests if test not in functional),
        ),
    )


_FORMS: dict[str, Callable[[dict[str, Any], int], Problem]] = {
    "question_content": _live_code_bench,
    "entry_point": _human_eval,
    "test_list": _mbpp,
    "tests": _own,
}
"""Column that identifies a form -> its reader."""
_LAST = list(_FORMS)[-1]


# ---- assertions ------------------------------------------------------------------------------------------------------
def _problem(*, text: str, solution: str | None, assertions: list[str], checks: Checks) -> Problem:
    """A problem with its simple assertions turned into calls, where calls are compared as Python compares."""
    calls, rest = list[tuple[list[Any], Any]](), list[str]()
    for assertion in assertions:
        call = _call_of(assertion, checks.function) if checks.rule == rules.PYTHON else None
        if call is None:
            rest.append(assertion)
        else:
            calls.append(call)
    checks = replace(checks, calls=(*checks.calls, *calls), assertions=tuple(rest))
    return Problem(text=clean(text), solution=solution, checks=checks)


def _call_of(assertion: str, function: str) -> tuple[list[Any], Any] | None:
    """(arguments, value) of `assert f(...) == value` with literal arguments and value; None for any other assertion."""
    try:
        [node] = ast.parse(assertion).body
        if (
            isinstance(node, ast.Assert)
            and isinstance(node.test, ast.Compare)
            and [type(one) for one in node.test.ops] == [ast.Eq]
            and isinstance(call := node.test.left, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id in (function, "candidate")
            and not call.keywords
        ):
            found = [ast.literal_eval(part) for part in call.args], ast.literal_eval(node.test.comparators[0])
            values.encode(list(found))
            return found
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, values.ValueRefused):
        pass
    return None


def _called(assertions: list[str], solution: str | None) -> str:
    """The function that assertions call: one that the solution defines, else one that Python does not have."""
    names = [
        node.func.id
        for assertion in assertions
        for node in ast.walk(ast.parse(assertion))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    tree = ast.parse(solution or "")
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return next((name for name in names if name in defined or (not solution and not hasattr(builtins, name))), "")


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{json.dumps(value)[:40]} is not a text")
    return value
