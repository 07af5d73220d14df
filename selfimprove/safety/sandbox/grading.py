"""Mark a program by tests. What is right is known here, and not in a process that runs the program or that forked it.

Three kinds of test: calls with the value that must come back, scripts with what must be printed, and assertions that a
stranger has written. Values are compared here, with their types. Assertions run in a jail of their own and call the
program in another one through this process, so neither can touch the other.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from selfimprove.safety.sandbox import values
from selfimprove.safety.sandbox.jail_process import JailLost, Outcome, Program, printable
from selfimprove.safety.sandbox.runner import Sandbox

LONGEST = 200
"""Characters of a value that are shown."""
STATUSES = ("ok", "wrong", "error", "timeout", "memory", "output_limit", "refused")
"""What can become of a program that is marked; `error` stands for all exceptions."""


@dataclass(frozen=True, kw_only=True)
class Checks:
    """The tests of one problem."""

    function: str = ""
    """What calls and assertions call; `Solution.solve` is a method of a class."""
    calls: tuple[tuple[list[Any], Any], ...] = ()
    """(arguments, the value that must come back)."""
    scripts: tuple[tuple[str, str], ...] = ()
    """(what the program reads, what it must print)."""
    imports: str = ""
    """What stands in front of the program, where it begins with code that the problem gives."""
    setup: str = ""
    """What stands in front of the assertions."""
    assertions: tuple[str, ...] = ()
    """Code that fails where the program is wrong; it finds the function by its name, and as `candidate`."""
    tolerance: float | None = None
    """By how much a float may be off, absolutely or as a share of the right one; None: not at all."""

    def __len__(self) -> int:
        return len(self.calls) + len(self.scripts) + len(self.assertions)

    def part(self, begin: int, end: int) -> Checks:
        """Some of the tests, by their place among all."""
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
    """What the tests say of a program."""

    passed: tuple[bool, ...]
    """By test, in the order calls, scripts, assertions."""
    status: str
    """`ok` where all passed, else why the first one did not: `wrong`, or what became of the program."""
    text: str = ""
    """What it said about that: a stranger's text."""
    seen: Counter[str] = field(default_factory=Counter)
    """How often each status was seen, over all executions."""
    told: tuple[str, ...] = field(default=(), compare=False)
    """By test, what it asked for and what came back: to be shown to whoever wrote the program."""

    @property
    def share(self) -> float:
        """Share of the tests that passed."""
        return sum(self.passed) / max(1, len(self.passed))


def grade(sandbox: Sandbox, source: str, tests: Checks) -> Grade:
    """Mark a program. One that the clock ended, and not its computing time, is run once more, alone."""
    passed, told, outcomes = list[bool](), list[str](), list[Outcome]()
    source = f"{tests.imports}\n{source}" if tests.imports else source
    if tests.calls:
        outcome = _run(sandbox, Program(source, function=tests.function, arguments=[given for given, _ in tests.calls]))
        answers = [*outcome.answers, *[None] * (len(tests.calls) - len(outcome.answers))]
        for (given, wanted), answer in zip(tests.calls, answers, strict=True):
            passed.append(bool(answer and not answer.error) and values.same(wanted, answer.value, tests.tolerance))
            gave = (
                "gave nothing" if answer is None else f"raised {answer.error}" if answer.error else _shown(answer.value)
            )
            told.append(f"{tests.function}({_shown(given)[1:-1]}) must give {_shown(wanted)}: {gave}")
        outcomes.append(outcome)
    if tests.scripts:
        ran = sandbox.map([Program(source, stdin=given) for given, _ in tests.scripts])
        for (given, wanted), first in zip(tests.scripts, ran, strict=True):
            outcome = _again(sandbox, Program(source, stdin=given), first)
            passed.append(outcome.status == "ok" and same_text(wanted, outcome.output, tests.tolerance))
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
    """A value as Python writes it, cut where it is long."""
    try:
        return repr(value)[:LONGEST]
    except ValueError:  # a number of more digits than Python writes out
        return "a very long number"


def same_text(wanted: str, got: str, tolerance: float | None = None) -> bool:
    """Whether a program printed what it had to: space at the ends of lines and empty lines at the end do not count."""
    ours, theirs = (text.rstrip().split("\n") for text in (wanted, got))
    if tolerance is None:
        return [line.rstrip() for line in ours] == [line.rstrip() for line in theirs]
    pairs = [(line.split(), other.split()) for line, other in zip(ours, theirs, strict=False)]
    return len(ours) == len(theirs) and all(
        len(words) == len(others)
        and all(_near(word, other, tolerance) for word, other in zip(words, others, strict=True))
        for words, others in pairs
    )


def _near(wanted: str, got: str, tolerance: float) -> bool:
    try:
        return wanted == got or values.same(float(wanted), float(got), tolerance)
    except ValueError:
        return False


def _run(sandbox: Sandbox, program: Program) -> Outcome:
    return _again(sandbox, program, sandbox.run(program))


def _again(sandbox: Sandbox, program: Program, outcome: Outcome) -> Outcome:
    """The same outcome, or that of a second run where a busy machine may be to blame for the first."""
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
    """The verdict on each assertion, and what became of the program. A verdict that is missing is a failure."""
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
    """A line from a jail: a message of one of these kinds, or an error. What is neither is an error as well."""
    try:
        message = values.loads(line) if line is not None else {"error": "exit"}
        if known := [kind for kind in kinds if kind in message]:
            values.decode(message[known[0]])
            return {known[0]: message[known[0]]}
        name = message.get("error", message.get("failed"))
        return {"error": printable(name), "text": printable(message.get("text", ""), 500)}
    except (values.ValueRefused, AttributeError, TypeError):
        return {"error": "answers", "text": ""}
