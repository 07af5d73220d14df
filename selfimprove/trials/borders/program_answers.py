"""What a model's programs answer: none breaks or stalls the process that marks it, and none is marked right by luck.

Most programs return, print or raise something odd, or write to every descriptor that they can reach. The expected
values are drawn anew for each program, so no program knows them; one in ten is honest and must be marked right.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

from selfimprove.errors import EngineError
from selfimprove.safety.sandbox import grading
from selfimprove.safety.sandbox.jail_process import Limits
from selfimprove.safety.sandbox.open import open_sandbox
from selfimprove.trials import fuzz

LIMITS = Limits(cpu_seconds=1)
ODD = [
    *("None", "True", "-1", "10**4000", "-(10**5000)", "1e308*10", "float('nan')", "1j", "complex('nan+infj')"),
    *("'\\ud800'", "'\\x00'", "'a'*10**6", "b'\\xff'*10**5", "'\\u202e'", "range(9)", "object()", "f", "Exception"),
    *(
        "NotImplemented",
        "...",
        "type",
        "iter([])",
        "(i for i in [1])",
        "lambda: 1",
        "__import__('os')",
        "memoryview(b'')",
    ),
]
"""Expressions with values that an answer may hold."""
NESTS = [
    "[{}]",
    "({},)",
    "{{1: {}}}",
    "{{{0}: 2}}",
    "frozenset([{}])",
    "[{0}, {0}]",
    "[{}] * 300",
    "list(range(200)) + [{}]",
]
"""What may stand around such a value."""
BUILT = [
    "x = {}\nfor _ in range({}): x = [x]",
    "x = {}\nfor _ in range({}): x = (x, x)",
    "x = {}\nfor _ in range({}): x = frozenset([x])",
    "x = {{(2**61 - 1) * i: {} for i in range(50 * {})}}",
    "x = {{frozenset([(2**61 - 1) * i, {}]) for i in range(20 * {})}}",
    "x = [{}]\nx.append(x)  # {}",
    "class D(dict): pass\nx = D(a={})\nx['n'] = {}",
    "class I(int):\n  def __eq__(s, o): return True\n  def __repr__(s): return {}\nx = I({})",
]
"""Values that are built step by step, from a value and a number."""
WIRE = [
    *('{"value": 1}', '{"value": true}', '{"value": ["l"]}', '{"value": ["d", [1, 2]]}', '{"value": ["i", "0x1"]}'),
    *('{"passed": true}', '{"error": "E"}', '{"error": null}', '{"error": {"a": 1}}', '{"failed": []}', '{"call": 1}'),
    *('{"value": ["n", "nan"]}', '{"value": ["c", 1]}', '{"value": ["b", "zz"]}', '{"usage": 1e999}', '{"cpu": -1}'),
    *(
        "[]",
        "null",
        "NaN",
        "1e999",
        "9" * 5000,
        "[" * 9000,
        '{"value": ' * 500,
        '{"value": ' + "[" * 700 + "]" * 700 + "}",
    ),
    *("", "{", '"', "\\x00", "\\xff\\xfe", '{"after": 1, "value": 2}', '{"value": "\\\\ud800"}', "x" * 99999),
]
"""What a program may write where its answers go."""


def value(draw: random.Random) -> str:
    """An expression with an odd value."""
    made = draw.choice(ODD)
    for _ in range(draw.choice([0, 1, 2, 3, 30])):
        made = draw.choice(NESTS).format(made) if len(made) < 2000 else made
    return made


def program(draw: random.Random) -> str:
    """A program with a function `f` of one argument, or with an ending of its own."""
    if draw.random() < 0.4:
        built = draw.choice(BUILT).format(value(draw), draw.choice([1, 9, 70, 600, 3000]))
        return f"{built}\ndef f(a): return x"
    match draw.randrange(6):
        case 0:
            return f"def f(a): return {value(draw)}"
        case 1:
            kind = draw.choice(["StopIteration", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "BaseException"])
            where = draw.choice(["def f(a): ", "def f(a):\n  yield a\n  ", ""])
            return f"{where}raise {kind}({value(draw)})"
        case 2:
            line, often = draw.choice(WIRE), draw.choice([1, 2, 50, 2000])
            return (
                f"import os\nfor d in range(1, 20):\n  try: os.write(d, (b'''{line}\\n''' * {often})[:10**6])\n"
                "  except OSError: pass\ndef f(a): return 1"
            )
        case 3:
            return f"print({value(draw)} if {draw.randrange(2)} else {value(draw)})\ndef f(a): return 1"
        case 4:
            ending = draw.choice(["os._exit(0)", "os.kill(0, 9)", "os.close(1)", "os.closerange(0, 99)", "os.abort()"])
            return f"import os\ndef f(a): {ending}"
        case _:
            tricks = ["sys.setrecursionlimit(10**8)\n  return f(a)", "sys.stdout = None", "sys.modules.clear()"]
            return f"import sys\ndef f(a):\n  {draw.choice(tricks)}"


def handed_in(draw: random.Random) -> tuple[str, grading.Checks, bool]:
    """A program, its tests, and whether it is honest."""
    secret = draw.getrandbits(80)
    if draw.random() < 0.1:
        honest = f"def f(a): return a + {secret}\nprint({secret})"
        return honest, _tests(draw.choice(["calls", "scripts", "assertions"]), secret), True
    return program(draw), _tests(draw.choice(["calls", "calls", "scripts", "assertions"]), secret), False


def _tests(kind: str, secret: int) -> grading.Checks:
    match kind:
        case "calls":
            return grading.Checks(function="f", calls=(([1], 1 + secret), ([0], secret)))
        case "scripts":
            return grading.Checks(scripts=(("1\n", f"{secret}\n"),))
        case _:
            return grading.Checks(function="f", assertions=(f"assert candidate(1) == 1 + {secret}",))


@contextlib.contextmanager
def _open(scratch: Path) -> Iterator[fuzz.Try]:
    try:
        opened = open_sandbox(LIMITS, workers=1)
    except EngineError:
        yield lambda draw: "not run, without a sandbox"
        return
    with opened as sandbox:

        def attempt(draw: random.Random) -> str:
            source, tests, honest = handed_in(draw)
            with fuzz.shown((source, tests)):
                grade = grading.grade(sandbox, source, tests)
                status = grade.status.partition(":")[0]
                assert status in grading.STATUSES, grade.status
                assert any(grade.passed) == honest, f"{grade} for a program that is {'' if honest else 'not '}right"
                (grade.text + "".join(grade.told)).encode()
                return status

        yield attempt


BORDER = fuzz.Border(promise="what a model's program answers is marked, and breaks nothing", open=_open, in_ci=50)
