"""Simplifies and compares mathematical expressions, in disposable processes.

Some inputs keep a symbolic program busy forever, and no exception can stop it. So `ask` starts this file as a program
and keeps it running: a question is one line of JSON, ["parse", formula], ["equal", gold, formula] or ["equation", gold,
equation], and so is the answer. A timer of the operating system kills a process that takes too much CPU time.
Several processes answer at the same time if several threads ask.

Formulas are read by `formula_reader`, else by math_verify, which also decides about what is no expression. Expressions
are compared by their values at several points, relative to their size, so that no small number equals another.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from queue import LifoQueue
from typing import Any

SECONDS = 5.0
"""CPU time for one question."""
LONGEST = 1000
"""Most characters of an answer that is parsed."""
MEMORY = 4 << 30
"""Bytes of memory for a process."""
WORKERS = max(1, min(4, len(os.sched_getaffinity(0))))
"""Most processes that answer at the same time."""
_LATE = (signal.SIGPROF, signal.SIGALRM)


# ---- the side that asks ------------------------------------------------------------------------------------------
class Pool:
    """The running workers of this process. They start when they are needed and end when their input closes."""

    def __init__(self, owner: int) -> None:
        self.owner = owner
        self.free: LifoQueue[subprocess.Popen[str] | None] = LifoQueue()
        for _ in range(WORKERS):
            self.free.put(None)

    def ask(self, line: str) -> str:
        """A worker's answer to a line; "null" if it takes too long.

        Raises:
            EngineError: a worker cannot be started.
        """
        worker = self.free.get()
        try:
            for _ in range(2):  # a worker that something else ended is replaced once
                worker = worker or _start()
                assert worker.stdin and worker.stdout
                try:
                    worker.stdin.write(line + "\n")
                    worker.stdin.flush()
                    if answer := worker.stdout.readline():
                        return answer
                except BrokenPipeError:
                    pass
                late, worker = -worker.wait() in _LATE, None
                if late:
                    break
            return "null"
        except BaseException:  # Ctrl-C: an answer left in the pipe would be taken for that of the next question
            if worker is not None:
                worker.kill()
                worker = None
            raise
        finally:
            self.free.put(worker)


@lru_cache(maxsize=1 << 16)
def ask(*question: str) -> Any:
    """The workers' answer to a question; None if they have no answer or take too long.

    Raises:
        EngineError: a worker cannot be started.
    """
    if max(map(len, question)) > LONGEST:
        return None
    return json.loads(pool(os.getpid()).ask(json.dumps(question)))


@lru_cache(maxsize=1)
def pool(owner: int) -> Pool:
    """The workers of this process; a fork starts its own."""
    return Pool(owner)


def _start() -> subprocess.Popen[str]:
    """A new worker."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-P", "-m", __name__, str(SECONDS)]
    worker = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, encoding="utf-8", start_new_session=True
    )
    assert worker.stdout
    if worker.stdout.readline() != "ready\n":
        from selfimprove.errors import EngineError

        raise EngineError("math_verify cannot be loaded; find out why with: python -c 'import math_verify'")
    return worker


# ---- the side that answers ---------------------------------------------------------------------------------------
POINTS = ((7, 5), (13, 11), (-9, 7), (29, 3), (-17, 19))
"""Where expressions are compared: fractions p/q, shifted for each symbol; negative ones count where values are real."""
DIGITS = 40
"""Digits to which values are compared, relative to their size."""


@lru_cache(maxsize=1 << 12)
def expression(text: str) -> Any:
    """A formula as a SymPy expression; None if nobody can read it as one."""
    import sympy

    from selfimprove.problems.formula_reader import Unread, read

    with contextlib.suppress(Unread, ZeroDivisionError, ArithmeticError, IndexError):
        return read(text)
    found = [one for one in _parsed(text) if isinstance(one, sympy.Basic | sympy.MatrixBase)]
    return found[0] if found else None


@lru_cache(maxsize=1 << 12)
def _parsed(text: str) -> list[Any]:
    """What math_verify finds in a formula."""
    import math_verify

    return math_verify.parse(f"\\boxed{{{text}}}", parsing_timeout=None)  # type: ignore[arg-type]


def canonical(text: str) -> str | None:
    """A formula or an equation in a simple form; None if it cannot be read."""
    import sympy

    if len(sides := text.split("=")) == 2:
        left, right = (expression(side.strip()) for side in sides)
        if not isinstance(left, sympy.Expr) or not isinstance(right, sympy.Expr):
            return None
        over = sympy.fraction(sympy.together(left - right))[0]
        return f"{_primitive(sympy.expand(over))} = 0"
    found = expression(text)
    if found is None:
        return None
    with contextlib.suppress(Exception):  # not everything can be simplified
        found = found.doit()
        if isinstance(found, sympy.Expr) and not found.has(sympy.Function):
            constant = not found.free_symbols
            found = sympy.radsimp(sympy.expand(found)) if constant else sympy.cancel(sympy.together(found))
        else:
            found = sympy.simplify(sympy.nsimplify(found, rational=True))
    return str(found)


def _primitive(over: Any) -> Any:
    """A polynomial without a constant factor."""
    import sympy

    with contextlib.suppress(Exception):
        poly = sympy.Poly(over, *sorted(over.free_symbols, key=str))
        return (poly / poly.LC()).as_expr() if poly.LC() != 0 else over
    return over


def equal(gold: str, text: str) -> bool:
    """Whether two formulas are equal; the first is the reference."""
    import sympy

    left, right = expression(gold), expression(text)
    if isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr):
        if left == right:
            return True
        same = agree(left, right)
        return sympy.expand(left - right) == 0 if same is None else same
    import math_verify

    if left is None or right is None:
        return re.sub(r"\s", "", gold) == re.sub(r"\s", "", text)
    return math_verify.verify(_parsed(gold), _parsed(text), timeout_seconds=None)


def equation(gold: str, text: str) -> bool:
    """Whether two equations say the same: the differences of their sides agree up to a constant factor."""
    import sympy

    one, two = ([expression(side.strip()) for side in equation.split("=")] for equation in (gold, text))
    if len(one) != 2 or len(two) != 2 or not all(isinstance(side, sympy.Expr) for side in (*one, *two)):
        return False
    left, right = one[0] - one[1], two[0] - two[1]
    if left.free_symbols != right.free_symbols:
        return False
    names = sorted(left.free_symbols, key=str)
    values = [(at(left, names, point), at(right, names, point)) for point in POINTS]
    if any(value is None or value == 0 for pair in values for value in pair):
        return sympy.simplify(left / right).is_number is True
    first, *others = [pair[0] / pair[1] for pair in values]
    return all(abs(other - first) <= 10 ** (5 - DIGITS) * abs(first) for other in others)


def agree(left: Any, right: Any) -> bool | None:
    """Whether two expressions have the same values; None if none of them can be worked out."""
    known, names = 0, sorted(left.free_symbols | right.free_symbols, key=str)
    for point in POINTS:
        one, two = at(left, names, point), at(right, names, point)
        if one is None or two is None:
            continue
        if min(point) < 0 and not (one.is_real and two.is_real):
            continue  # roots of negative numbers may differ by a convention only
        if abs(one - two) > 10 ** (5 - DIGITS) * max(abs(one), abs(two)):
            return False
        known += 1
        if not names:
            break
    return True if known else None


def at(value: Any, names: Sequence[Any], point: tuple[int, int]) -> Any:
    """The value of an expression at a point, where each symbol has its own number; None if it has none."""
    import sympy

    if names and value.has(sympy.Sum, sympy.Product, sympy.Integral):
        return None  # at a fraction they have no value, and looking for one takes seconds
    over, under = point
    places = {name: sympy.Rational(over + (2 if over > 0 else -2) * place, under) for place, name in enumerate(names)}
    with contextlib.suppress(Exception):
        found = sympy.N(value.subs(places), DIGITS)
        if found.is_number and found.is_finite:
            return found.as_real_imag()[0] if abs(found.as_real_imag()[1]) == 0 else found
    return None


def serve(seconds: float) -> None:
    """Answer the questions of standard input until it closes; a failure is answered with null."""
    logging.disable(logging.CRITICAL)
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not look like an answer
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for late in _LATE:
        signal.signal(late, signal.SIG_DFL)
    canonical("\\frac{2}{4}")
    equal("x+1", "1+x")
    _parsed("x>1")  # loads everything, so that the first question does not pay for it
    answers.write("ready\n")
    kinds = {"parse": canonical, "equal": equal, "equation": equation}
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, seconds)  # CPU time, so that a busy machine does not fail an answer
        signal.setitimer(signal.ITIMER_REAL, 20 * seconds)
        try:
            kind, *texts = json.loads(line)
            answer = kinds[kind](*texts)
        except Exception:
            answer = None
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    serve(float(sys.argv[1]))
