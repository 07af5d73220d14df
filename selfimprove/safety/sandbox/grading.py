"""Mark a program by tests. Expected results stay in this process; the processes that run or fork the program lack them.

There are three kinds of tests: calls with an expected value, scripts with expected output, and assertions from a data
set. Values are compared here (`rules.py`). Assertions run in their own jail and call the program in another jail
through this process, so neither can affect the other.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from selfimprove.safety.sandbox import rules, values
from selfimprove.safety.sandbox.jail_process import JailLost, Outcome, Program, printable
from selfimprove.safety.sandbox.runner import Sandbox

LONGEST = 200
"""Characters of a value that are shown."""
STATUSES = ("ok", "wrong", "error", "timeout", "memory", "output_limit", "refused")
"""The outcomes of a marked program; `error` stands for all exceptions."""


@dataclass(frozen=True, kw_only=True)
class Checks:
    """The tests of one problem."""

    function: str = ""
    """The function that calls and assertions use; `Solution.solve` is a method of a class."""
    calls: tuple[tuple[list[Any], Any], ...] = ()
    """(arguments, expected value)."""
    scripts: tuple[tuple[str, str], ...] = ()
    """(input, expected output)."""
    imports: str = ""
    """What stands in front of the program, where the problem gives it."""
    head: str = ""
    """The head of the function, if the problem gives it: then the body alone is a program too."""
    setup: str = ""
    """What stands in front of the assertions."""
    assertions: tuple[str, ...] = ()
    """Code that fails if the program is wrong; it finds the function by its name and as `candidate`."""
    tolerance: float | None = None
    """Largest absolute or relative error of a float; None: floats must be equal."""
    rule: str = ""
    """How values and output are compared, see `safety/sandbox/rules.py`; "": with their types."""

    def __len__(self) -> int:
        return len(self.calls) + len(self.scripts) + len(self.assertions)

    def part(self, begin: int, end: int) -> Checks:
        """Some of the tests, by index."""
        places, at = [], 0
        for tests in (self.calls, self.scripts, self.assertions):
            places.append(slice(max(0, begin - at), max(0, end - at)))
            at += len(tests)
        calls, scripts, assertions = places
        return replace(
            self, calls=self.calls[calls], scripts=self.scripts[scripts], assertions=self.assertions[assertions]
        )

    def dumps(self) -> str:
        """The tests as one line of JSON."""
        calls = [[values.encode(list(arguments)), values.encode(value)] for arguments, value in self.calls]
        rest = {name: value for name, value in vars(self).items() if value and name != "calls"}
        return json.dumps({**rest, **({"calls": calls} if calls else {})}, sort_keys=True)


def loads(line: str) -> Checks:
    """The tests that `dumps` wrote.

    Raises:
        ValueRefused: it is not what `dumps` writes.
    """
    found = values.loads(line)
    try:
        calls = tuple((values.decode(arguments), values.decode(value)) for arguments, value in found.pop("calls", ()))
        scripts = tuple((str(given), str(wanted)) for given, wanted in found.pop("scripts", ()))
        return Checks(calls=calls, scripts=scripts, assertions=tuple(found.pop("assertions", ())), **found)
    except (TypeError, ValueError, AttributeError) as error:
        raise values.ValueRefused("not tests") from error


@dataclass(frozen=True)
class Grade:
    """The results of a program's tests."""

    passed: tuple[bool, ...]
    """By test, in the order calls, scripts, assertions."""
    status: str
    """`ok` if all passed, else the reason of the first failure: `wrong`, or how the program ended."""
    text: str = ""
    """The program's message about that; untrusted text."""
    seen: Counter[str] = field(default_factory=Counter)
    """The count of each status over all executions."""
    told: tuple[str, ...] = field(default=(), compare=False)
    """By test, the expected and the actual result, to show to the author of the program."""

    @property
    def share(self) -> float:
        """Share of the tests that passed."""
        return sum(self.passed) / max(1, len(self.passed))


def grade(sandbox: Sandbox, source: str, tests: Checks) -> Grade:
    """Mark a program. One that reached its wall-time limit before its CPU-time limit runs once more, alone."""
    passed, told, outcomes = list[bool](), list[str](), list[Outcome]()
    function = rules.called(source, tests.function, tests.rule)
    source = rules.whole(source, tests.imports, tests.rule)
    if tests.calls:
        outcome = _run(sandbox, Program(source, function=function, arguments=[given for given, _ in tests.calls]))
        answers = [*outcome.answers, *[None] * (len(tests.calls) - len(outcome.answers))]
        for (given, wanted), answer in zip(tests.calls, answers, strict=True):
            passed.append(
                bool(answer and not answer.error) and rules.equal(wanted, answer.value, tests.rule, tests.tolerance)
            )
            gave = (
                "gave nothing" if answer is None else f"raised {answer.error}" if answer.error else _shown(answer.value)
            )
            told.append(f"{tests.function}({_shown(given)[1:-1]}) must give {_shown(wanted)}: {gave}")
        outcomes.append(outcome)
    if tests.scripts:
        ran = sandbox.map([Program(source, stdin=given) for given, _ in tests.scripts])
        for (given, wanted), first in zip(tests.scripts, ran, strict=True):
            outcome = _again(sandbox, Program(source, stdin=given), first)
            passed.append(outcome.status == "ok" and rules.printed(wanted, outcome.output, tests.rule, tests.tolerance))
            told.append(f"for the input {_shown(given)} it must print {_shown(wanted)}: {_shown(outcome.output)}")
            outcomes.append(outcome)
    if tests.assertions:
        marks, outcome = _assertions(sandbox, source, tests)
        passed += marks
        told += [f"this must hold: {assertion[:LONGEST]}" for assertion in tests.assertions]
        outcomes.append(outcome)
    seen = Counter(outcome.status for outcome in outcomes)
    if all(passed) and passed:
        return Grade(tuple(passed), "ok", seen=seen, told=tuple(told))
    worst = next((outcome for outcome in outcomes if outcome.status != "ok"), Outcome("wrong"))
    return Grade(tuple(passed), worst.status, worst.text, seen, tuple(told))


def _shown(value: Any) -> str:
    """The repr of a value, shortened if long."""
    try:
        return repr(value)[:LONGEST]
    except ValueError:  # a number of more digits than Python writes out
        return "a very long number"


def _run(sandbox: Sandbox, program: Program) -> Outcome:
    return _again(sandbox, program, sandbox.run(program))


def _again(sandbox: Sandbox, program: Program, outcome: Outcome) -> Outcome:
    """The outcome, or that of a second run if a busy machine may have caused the first."""
    return sandbox.run(program, alone=True) if _starved(sandbox, outcome) else outcome


def _starved(sandbox: Sandbox, outcome: Outcome) -> bool:
    return outcome.status == "timeout" and outcome.cpu_seconds < sandbox.limits.cpu_seconds - 0.1


# ---- three parties: the program, the tests, and this process between them --------------------------------------------
def _assertions(sandbox: Sandbox, source: str, tests: Checks) -> tuple[list[bool], Outcome]:
    """Which assertions hold."""
    marks, outcome = [False] * len(tests.assertions), Outcome("error:jail")
    for alone in (False, True):
        with contextlib.suppress(JailLost):
            marks, outcome = _heard(sandbox, source, tests, alone)
            if not _starved(sandbox, outcome):
                break
    return marks, outcome


def _heard(sandbox: Sandbox, source: str, tests: Checks, alone: bool) -> tuple[list[bool], Outcome]:
    """Whether each assertion passed, and how the program ended. A missing result counts as a failure."""
    passed = list[bool]()
    with sandbox.alone() if alone else sandbox.jail() as jail, sandbox.jail(tester=True) as tester:
        jail.begin({"mode": "serve", "source": source, "function": tests.function})
        reply = _message(jail.line(), "value")
        if "value" in reply:
            examined = {"setup": tests.setup, "function": tests.function, "tests": list(tests.assertions)}
            tester.begin({"mode": "tests", **examined})
            while (line := tester.line()) is not None:
                message = _message(line, "call", "passed")
                if "call" in message:
                    jail.send(message["call"])
                    reply = _message(jail.line(), "value")
                    tester.send(reply)
                elif "passed" in message:
                    passed.append(message["passed"] is True)
            tester.end()
        ended = jail.end(stop=True)
    if len(passed) != len(tests.assertions):
        passed = [False] * len(tests.assertions)
    name = "" if "value" in reply else str(reply["error"])
    status = {"": "ok", "MemoryError": "memory", "PermissionError": "refused"}.get(name, f"error:{name}")
    if ended.over:
        status = "output_limit"
    elif ended.late or ended.cpu_seconds > sandbox.limits.cpu_seconds - 0.1:
        status = "timeout"
    return passed, Outcome(status, text=str(reply.get("text", "")), cpu_seconds=ended.cpu_seconds)


def _message(line: bytes | None, *kinds: str) -> dict[str, Any]:
    """A line from a jail: a message of one of these kinds, or an error; anything else is an error too."""
    try:
        message = values.loads(line) if line is not None else {"error": "exit"}
        if known := [kind for kind in kinds if kind in message]:
            kept = {kind: message[kind] for kind in (known[0], "after") if kind in message}
            for coded in kept.values():
                values.decode(coded)
            return kept
        name = message.get("error", message.get("failed"))
        return {"error": printable(name), "text": printable(message.get("text", ""), 500)}
    except (values.ValueRefused, AttributeError, TypeError):
        return {"error": "answers", "text": ""}
