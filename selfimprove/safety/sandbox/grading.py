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
        if not is_tolerance(found.get("tolerance")):
            raise ValueError("not a tolerance")
        calls = tuple((values.decode(arguments), values.decode(value)) for arguments, value in found.pop("calls", ()))
        scripts = tuple((str(given), str(wanted)) for given, wanted in found.pop("scripts", ()))
        return Checks(calls=calls, scripts=scripts, assertions=tuple(found.pop("assertions", ())), **found)
    except (TypeError, ValueError, AttributeError) as error:
        raise values.ValueRefused("not tests") from error


def is_tolerance(value: Any) -> bool:
    """Whether a value is a tolerance: none, or a number from 0 to below 1; from 1 on every positive number is right."""
    return value is None or (type(value) in (int, float) and 0 <= value < 1)


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


def grade(sandbox: Sandbox, source: str, tests: Checks, whole: bool = True) -> Grade:
    """Mark a program. All tests share one clock: once a program has reached a time limit, or has slept through the wall
    time of one test in all of them together, the tests that follow fail without being run.

    Args:
        whole: run every test; False: stop at the first failure, the tests that follow fail as well.
    """
    marking = _Marking(sandbox, source, tests, whole)
    for kind in (marking.calls, marking.scripts, marking.assertions):
        kind()
    passed = tuple(marking.passed)
    told = (*marking.told, *["it was not run: the program had failed before"] * (len(tests) - len(passed)))
    passed = (*passed, *[False] * (len(tests) - len(passed)))
    seen = Counter(outcome.status for outcome in marking.outcomes)
    if all(passed) and passed:
        return Grade(passed, "ok", seen=seen, told=told)
    failed = Outcome("timeout" if marking.slept() and len(marking.passed) < len(tests) else "wrong")
    worst = next((outcome for outcome in marking.outcomes if outcome.status != "ok"), failed)
    return Grade(passed, worst.status, worst.text, seen, told)


@dataclass
class _Marking:
    """The marks of one program, test by test."""

    sandbox: Sandbox
    source: str
    tests: Checks
    whole: bool
    passed: list[bool] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.imports = rules.imports(self.tests.imports, self.tests.rule)

    def over(self) -> bool:
        """Whether no further test can change what the program gets."""
        late = any(outcome.status == "timeout" for outcome in self.outcomes)
        return late or self.slept() or (not self.whole and not all(self.passed))

    def slept(self) -> bool:
        """Whether it has slept, in all its tests together, as long as one test may take."""
        return sum(outcome.asleep for outcome in self.outcomes) >= 2 * self.sandbox.limits.cpu_seconds

    def calls(self) -> None:
        """One process makes all calls."""
        if not self.tests.calls:
            return
        function = rules.called(self.source, self.tests.function, self.tests.rule)
        arguments = [given for given, _ in self.tests.calls]
        program = Program(self.source, function=function, arguments=arguments, imports=self.imports)
        outcome = _again(self.sandbox, program, self.sandbox.run(program))
        answers = [*outcome.answers, *[None] * (len(arguments) - len(outcome.answers))]
        for (given, wanted), answer in zip(self.tests.calls, answers, strict=True):
            right = answer is not None and not answer.error
            rule, tolerance = self.tests.rule, self.tests.tolerance
            self.passed.append(bool(right and answer and rules.equal(wanted, answer.value, rule, tolerance)))
            gave = (
                "gave nothing" if answer is None else f"raised {answer.error}" if answer.error else _shown(answer.value)
            )
            self.told.append(f"{self.tests.function}({_shown(given)[1:-1]}) must give {_shown(wanted)}: {gave}")
        self._ended(outcome)

    def scripts(self) -> None:
        """One process for each test, as many at a time as there are jails. Their order decides, not their speed."""
        scripts, rule, tolerance = self.tests.scripts, self.tests.rule, self.tests.tolerance
        for begin in range(0, len(scripts), self.sandbox.workers):
            some = scripts[begin : begin + self.sandbox.workers] if not self.over() else ()
            programs = [Program(self.source, stdin=given, imports=self.imports) for given, _ in some]
            for (given, wanted), program, first in zip(some, programs, self.sandbox.map(programs), strict=True):
                if self.over():
                    return
                outcome = _again(self.sandbox, program, first)
                right = outcome.status == "ok" and rules.printed(wanted, outcome.output, rule, tolerance)
                self.passed.append(right)
                self.told.append(
                    f"for the input {_shown(given)} it must print {_shown(wanted)}: {_shown(outcome.output)}"
                )
                self._ended(outcome)

    def assertions(self) -> None:
        """Assertions in one jail, the program in another."""
        if not self.tests.assertions or self.over():
            return
        marks, outcome = _assertions(self.sandbox, self.source, self.imports, self.tests)
        self.passed += marks
        self.told += [f"this must hold: {assertion[:LONGEST]}" for assertion in self.tests.assertions]
        self._ended(outcome)

    def _ended(self, outcome: Outcome) -> None:
        """Keep how it ended, without what it gave: that is up to 1 MB for each test."""
        self.outcomes.append(replace(outcome, output="", answers=()))


def _shown(value: Any) -> str:
    """The repr of a value, shortened if long."""
    return (values.written(value) or "a very long number")[:LONGEST]


def _again(sandbox: Sandbox, program: Program, outcome: Outcome) -> Outcome:
    """The outcome, or that of a second run if a busy machine may have caused the first."""
    return sandbox.run(program, alone=True) if _starved(sandbox, outcome) else outcome


def _starved(sandbox: Sandbox, outcome: Outcome) -> bool:
    """Whether a program reached its wall time because it got too little of the processor, and not in its sleep."""
    awake = outcome.asleep <= outcome.seconds / 2
    return outcome.status == "timeout" and awake and outcome.cpu_seconds < sandbox.limits.cpu_seconds - 0.1


# ---- three parties: the program, the tests, and this process between them --------------------------------------------
def _assertions(sandbox: Sandbox, source: str, imports: str, tests: Checks) -> tuple[list[bool], Outcome]:
    """Which assertions hold."""
    marks, outcome = [False] * len(tests.assertions), Outcome("error:jail")
    for alone in (False, True):
        with contextlib.suppress(JailLost):
            marks, outcome = _heard(sandbox, {"source": source, "imports": imports or None}, tests, alone)
            if not _starved(sandbox, outcome):
                break
    return marks, outcome


def _heard(sandbox: Sandbox, program: dict[str, Any], tests: Checks, alone: bool) -> tuple[list[bool], Outcome]:
    """Whether each assertion passed, and how the program ended. A missing result counts as a failure, and so does a
    test in which a call came to no end: tests that expect an exception would take that for one."""
    passed, broken, both = list[bool](), False, 0.0
    with sandbox.alone() if alone else sandbox.jail() as jail, sandbox.jail(tester=True) as tester:
        jail.begin({"mode": "serve", **program, "function": tests.function})
        reply = _message(jail.line(), "value")
        if "value" in reply:
            examined = {"setup": tests.setup, "function": tests.function, "tests": list(tests.assertions)}
            tester.begin({"mode": "tests", **examined})
            while (line := tester.line()) is not None:
                message = _message(line, "call", "passed")
                if "call" in message:
                    jail.send(message["call"])
                    reply = _message(jail.line(), "value")
                    broken = broken or not ("value" in reply or reply["kind"])
                    tester.send(reply)
                elif "passed" in message:
                    passed.append(message["passed"] is True and not broken)
                    broken = False
            both = tester.end().asleep
        ended = jail.end(stop=True)
    if len(passed) != len(tests.assertions):
        passed = [False] * len(tests.assertions)
    name = "" if "value" in reply else str(reply["error"])
    status = {"": "ok", "MemoryError": "memory", "PermissionError": "refused"}.get(name, f"error:{name}")
    if ended.over:
        status = "output_limit"
    elif ended.late or ended.cpu_seconds > sandbox.limits.cpu_seconds - 0.1:
        status = "timeout"
    asleep = max(0.0, ended.asleep + both - ended.seconds)  # one of the two waits for the other
    facts: dict[str, Any] = {"cpu_seconds": ended.cpu_seconds, "seconds": ended.seconds, "asleep": asleep}
    return passed, Outcome(status, text=str(reply.get("text", "")), **facts)


def _message(line: bytes | None, *kinds: str) -> dict[str, Any]:
    """A line from a jail: a message of one of these kinds, or an error; anything else is an error too. The `kind` of an
    error is the type of the exception that a call raised, "" if it was none."""
    try:
        message = values.loads(line) if line is not None else {"error": "exit"}
        if known := [kind for kind in kinds if kind in message]:
            kept = {kind: message[kind] for kind in (known[0], "after") if kind in message}
            for coded in kept.values():
                values.decode(coded)
            return kept
        raised, text = "error" in message and "kind" in message, printable(message.get("text", ""), 500)
        name = printable(message.get("error", message.get("failed")))
        return {"error": name, "kind": printable(message["kind"]) if raised else "", "text": text}
    except (values.ValueRefused, AttributeError, TypeError):
        return {"error": "answers", "kind": "", "text": ""}
