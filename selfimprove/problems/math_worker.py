"""Parses and compares mathematical answers with math_verify, in a disposable process.

Some inputs keep a symbolic program busy forever, and no exception can stop it. So `ask` starts this file as a program
and keeps it running: a question is one line of JSON, ["parse", text] or ["equal", gold, text], and so is the answer. A
timer of the operating system kills the process if a question takes too much CPU time.
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
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

SECONDS = 5.0
"""CPU time for one question."""
LONGEST = 1000
"""Most characters of an answer that is parsed."""
MEMORY = 4 << 30
"""Bytes of memory for the process."""
_LATE = (signal.SIGPROF, signal.SIGALRM)
_LOCK = threading.Lock()
_COMMAND = re.compile(r"\\(?:text|mathrm|mathbf|textbf|operatorname|begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+")
_WORD = re.compile(r"[^\W\d_]{4,}|(?<!\S)(?:are|is|it|its|of|so|the|to|we)(?!\S)")
_SPELLINGS = ((r"(?<!\\)\bsqrt\(([^()]*)\)", r"\\sqrt{\1}"), (r"(?<=\d) (?=\d{3}(?!\d))", ""), (r"\s*\\?%$", ""))
"""Spellings that math_verify misreads: sqrt(2), 1 000 000 and a percent sign in a box."""


# ---- the side that asks ------------------------------------------------------------------------------------------
@lru_cache(maxsize=1 << 16)
def ask(*question: str) -> Any:
    """The worker's answer to a question; None if it has no answer or takes too long.

    Raises:
        EngineError: the worker cannot be started.
    """
    if max(map(len, question)) > LONGEST:
        return None
    with _LOCK:
        for _ in range(2):  # a worker that something else ended is replaced once
            worker = _worker(os.getpid())
            assert worker.stdin and worker.stdout
            try:
                worker.stdin.write(json.dumps(question) + "\n")
                worker.stdin.flush()
                if answer := worker.stdout.readline():
                    return json.loads(answer)
            except BrokenPipeError:
                pass
            except BaseException:  # Ctrl-C: an answer left in the pipe would be taken for that of the next question
                worker.kill()
                _worker.cache_clear()
                raise
            _worker.cache_clear()
            if -worker.wait() in _LATE:
                break
    return None


@lru_cache(maxsize=1)
def _worker(owner: int) -> subprocess.Popen[str]:
    """The running worker of this process; a fork starts its own. The worker ends when its standard input closes."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-P", str(Path(__file__)), str(SECONDS)]
    worker = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, encoding="utf-8", start_new_session=True
    )
    assert worker.stdout
    if worker.stdout.readline() != "ready\n":
        from selfimprove.errors import EngineError

        raise EngineError("math_verify cannot be loaded; find out why with: python -c 'import math_verify'")
    return worker


# ---- the side that answers ---------------------------------------------------------------------------------------
def parse(text: str) -> list[Any]:
    """Symbolic expressions and strings that math_verify finds in a text.

    A bare answer is parsed as LaTeX as a whole. In prose, words would turn into products of their letters, so there the
    last number or formula is used.
    """
    import math_verify

    text = text.strip()
    for written, read in _SPELLINGS:
        text = re.sub(written, read, text)
    prose = "\n" in text or _WORD.search(_COMMAND.sub(" ", text))
    return math_verify.parse(text if prose else f"\\boxed{{{text}}}", parsing_timeout=None)  # type: ignore[arg-type]


def canonical(text: str) -> str | None:
    """The answer in a text in a canonical form, or None if the text contains no mathematics."""
    import sympy

    found = [part for part in parse(text) if isinstance(part, sympy.Basic | sympy.MatrixBase)]
    if not found:
        return None
    answer = found[0]
    if isinstance(answer, sympy.Eq) and isinstance(answer.lhs, sympy.Symbol):
        answer = answer.rhs  # `x = 5` answers what `5` answers
    with contextlib.suppress(Exception):  # not every set or matrix can be simplified
        answer = sympy.simplify(sympy.nsimplify(answer, rational=True).doit())
    return str(answer)


def equal(gold: str, text: str) -> bool:
    """Whether a text gives the reference answer."""
    import math_verify

    return math_verify.verify(parse(gold), parse(text), timeout_seconds=None)


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
    equal("1", "2/2")  # loads everything, so that the first question does not pay for it
    answers.write("ready\n")
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, seconds)  # CPU time, so that a busy machine does not fail an answer
        signal.setitimer(signal.ITIMER_REAL, 20 * seconds)
        try:
            kind, *texts = json.loads(line)
            answer = canonical(*texts) if kind == "parse" else equal(*texts)
        except Exception:
            answer = None
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    serve(float(sys.argv[1]))
