"""The sandbox from outside: honest programs do what they do elsewhere, and each way to end has its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from selfimprove.errors import EngineError
from selfimprove.safety.sandbox import open, runner, selftest, values
from selfimprove.safety.sandbox.jail_process import Answer, Jail, JailLost, Limits, Outcome, Program, read_answers
from selfimprove.safety.sandbox.open import open_sandbox
from selfimprove.safety.sandbox.runner import Sandbox
from tests.safety.sandbox.test_battery import NOBODY, ROOT, python_for

DOUBLE = "def f(x):\n    return 2 * x"

OUTSIDE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from selfimprove.safety.sandbox import values
for source, arguments in json.load(sys.stdin):
    try:
        scope = {"__name__": "program"}
        exec(source, scope)
        print(json.dumps({"value": values.encode(scope["f"](*values.decode(arguments)))}))
    except Exception as error:
        print(json.dumps({"error": type(error).__name__}))
"""


def ran(sandbox: Sandbox, programs: list[Program]) -> list[Outcome]:
    """What becomes of programs that all come to an end; a busy machine may need a second try."""
    pairs = zip(programs, sandbox.map(programs), strict=True)
    return [sandbox.run(one, alone=True) if outcome.status == "timeout" else outcome for one, outcome in pairs]


@pytest.mark.long
def test_honest_functions_give_the_same_inside_and_outside(
    sandbox: Sandbox, honest: ModuleType, record_property: Callable[[str, object], None]
) -> None:
    given = json.dumps([[source, values.encode(arguments)] for source, arguments in honest.CALLS])
    done = subprocess.run(
        [sys.executable, "-c", OUTSIDE, str(Path(runner.__file__).parents[3])],
        input=given, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "0"},
    )  # fmt: skip
    outside, _ = read_answers([line.encode() for line in done.stdout.splitlines()], len(honest.CALLS))
    programs = [Program(source, function="f", arguments=[arguments]) for source, arguments in honest.CALLS]
    inside = [outcome.answers[0] for outcome in ran(sandbox, programs)]
    pairs = zip(honest.CALLS, outside, inside, strict=True)
    wrong = [
        (call[0], one, other)
        for call, one, other in pairs
        if one.error != other.error or not (values.same(one.value, other.value) or "nan" in repr(one.value))
    ]
    assert wrong == []
    assert len(honest.CALLS) + len(honest.SCRIPTS) >= 140
    record_property("honest programs that give the same inside as outside", len(honest.CALLS) + len(honest.SCRIPTS))
    assert sum(bool(answer.error) for answer in outside) == 9, "the rest has values"


def test_honest_scripts_print_the_same_inside_and_outside(sandbox: Sandbox, honest: ModuleType) -> None:
    outcomes = ran(sandbox, [Program(source, stdin=given) for source, given in honest.SCRIPTS])
    for (source, given), outcome in zip(honest.SCRIPTS, outcomes, strict=True):
        done = subprocess.run(
            [sys.executable, "-I", "-c", source], input=given.encode(), capture_output=True, env={"PYTHONUTF8": "1"}
        )
        assert (outcome.output, outcome.exit_code) == (done.stdout.decode(), done.returncode), source
        last = (done.stderr.decode().strip().splitlines() or [""])[-1]
        failed = last.partition(":")[0] if last.partition(":")[0].endswith("Error") else ""
        assert outcome.status == (f"error:{failed}" if failed else "ok"), source


@pytest.mark.long
@pytest.mark.parametrize("tier", ["A", pytest.param("B", marks=pytest.mark.faults)])
def test_whole_programs_do_the_same_inside_and_outside(
    honest: ModuleType,
    tier: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    if tier == "B" and ROOT:  # another user runs the programs
        monkeypatch.setattr(sys, "executable", python_for(NOBODY) or sys.executable)
    needs_a_folder = () if tier == "A" else ("a temporary", "a named", "a spooled", "a database")
    programs = {name: rest for name, *rest in honest.WHOLE if not name.startswith(tuple(needs_a_folder) or "-")}
    assert len(programs) >= 40
    with ThreadPoolExecutor(2) as threads:
        outside = list(threads.map(lambda one: from_a_file(tmp_path, *one), programs.values()))
    try:
        opened = open_sandbox(Limits(cpu_seconds=2), workers=2, tier=tier)
    except EngineError as error:
        pytest.skip(str(error))
    with opened as sandbox:
        inside = ran(sandbox, [Program(source, stdin=given) for source, given in programs.values()])
    record_property(f"whole programs that do the same inside tier {tier} as outside", len(programs))
    found = {name: (one.output, one.exit_code) for name, one in zip(programs, inside, strict=True)}
    assert found == dict(zip(programs, outside, strict=True))


def from_a_file(folder: Path, source: str, given: str) -> tuple[str, int]:
    """What a program prints outside, run as `python program.py`, and its exit code."""
    place = folder / str(abs(hash((source, given)))) / "program.py"
    place.parent.mkdir()
    place.write_text(source, encoding="utf-8")
    (place.parent / "input").write_bytes(given.encode())
    with (place.parent / "input").open() as stdin:
        done = subprocess.run(
            [sys.executable, "program.py"], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd=place.parent, env={"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}, check=False,
        )  # fmt: skip
    return done.stdout.decode(), done.returncode


@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "status"),
    [
        (Program(DOUBLE, function="f", arguments=[[1]]), "ok"),
        (Program("print(1)"), "ok"),
        (Program("1 / 0"), "error:ZeroDivisionError"),
        (Program("def f(:"), "error:SyntaxError"),
        (Program("\0"), "error:SyntaxError|error:ValueError"),
        (Program("x = 1", function="f", arguments=[[1]]), "error:AttributeError"),
        (Program("raise SystemExit(3)"), "ok"),
        (Program("raise SystemExit(3)", function="f", arguments=[[1]]), "error:SystemExit"),
        (Program("import os\nos._exit(0)", function="f", arguments=[[1]]), "error:exit"),
        (Program("x = bytearray(1 << 40)"), "memory"),
        (Program("def f(x):\n    return bytearray(x)", function="f", arguments=[[1 << 40]]), "memory"),
        (Program("print('x' * (2 << 20))"), "output_limit"),
        (Program("def f():\n    return 'x' * (2 << 20)", function="f", arguments=[[]]), "output_limit"),
        (Program("import socket\nsocket.socket()"), "refused"),
        (Program("import subprocess\nsubprocess.run(['true'])"), "refused"),
        (Program("open('/etc/passwd')"), "refused|error:FileNotFoundError"),
        (Program("open('new', 'w')"), "refused|error:OSError"),
        (Program("def f():\n    return object()", function="f", arguments=[[]]), "error:type"),
        (Program("import ctypes\nctypes.string_at(0)"), "error:SIGSEGV"),
        (Program("while True: pass"), "timeout"),
        (Program("x" * (runner.LARGEST + 1)), "error:too_long"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.source[:30],
)
def test_each_way_to_end_has_its_name(sandbox: Sandbox, program: Program, status: str) -> None:
    assert sandbox.run(program).status in status.split("|")


@pytest.mark.long
def test_answers_before_a_failure_are_kept(sandbox: Sandbox) -> None:
    source = "def f(x):\n    while x == 3:\n        pass\n    return 12 // (x - 1)"
    outcome = sandbox.run(Program(source, function="f", arguments=[[0], [1], [2], [3], [4]]))
    assert outcome.status == "timeout"
    assert outcome.answers == (Answer(-12), Answer(error="ZeroDivisionError"), Answer(12))


def test_a_method_of_a_class_is_called(sandbox: Sandbox) -> None:
    source = "class Solution:\n    def twice(self, x):\n        return 2 * x"
    outcome = sandbox.run(Program(source, function="Solution.twice", arguments=[[4]]))
    assert outcome.answers == (Answer(8),)


def test_one_program_leaves_nothing_for_the_next(sandbox: Sandbox) -> None:
    spoil = (
        "import builtins, os, sys, json\nbuiltins.len = lambda x: 0\nsys.modules['math'] = None\nos.environ['X'] = 'x'"
    )
    look = "import math, os\ndef f():\n    return [len('abc'), math.pi > 3, os.environ.get('X')]"
    for _ in range(4):
        sandbox.run(Program(spoil))
        assert sandbox.run(Program(look, function="f", arguments=[[]])).answers == (Answer([3, True, None]),)


def test_chance_and_the_order_of_sets_are_the_same_every_time(sandbox: Sandbox) -> None:
    source = "import random\ndef f():\n    return [random.random(), list({'a', 'b', 'c', 'd', 'e'}), hash('x')]"
    outcomes = sandbox.map([Program(source, function="f", arguments=[[]])] * 6)
    assert len({repr(outcome.answers) for outcome in outcomes}) == 1


@pytest.mark.parametrize(
    "lines",
    [
        [b'{"value": 1}', b'{"value": 2}', b'{"value": 3}'],
        [b'{"value": 1}', b'{"value": 1, "error": "x"}'],
        [b'{"value": 1}', b"{}"],
        [b"1", b'{"value": 2}'],
        [b'{"value": 1}', b'{"value": ["x"]}'],
        [b'{"value": 1}', b'{"value": ' + b"[" * 100_000],
        [b'{"failed": "x"}', b'{"value": 1}'],
        [b'{"value": 1}', b"\xff"],
        [b'{"value": 1}', b'{"value": NaN}'],
    ],
    ids=lambda lines: str(lines)[:50],
)
def test_answers_of_the_wrong_form_or_number_are_worth_nothing(lines: list[bytes]) -> None:
    assert read_answers(lines, 2) == ([], ("answers", "the program did not give one answer to each call"))


def test_missing_answers_are_missing() -> None:
    assert read_answers([b'{"value": 1}'], 2) == ([Answer(1)], None)
    assert read_answers([b'{"value": 1}', b'{"failed": "E\\u001b", "text": "t"}'], 2) == ([Answer(1)], ("E ", "t"))


@pytest.mark.long
def test_programs_run_side_by_side_and_alone(sandbox: Sandbox) -> None:
    nap = Program("import time\ntime.sleep(0.8)")
    began = time.monotonic()
    assert [outcome.status for outcome in sandbox.map([nap, nap])] == ["ok", "ok"]
    assert time.monotonic() - began < 1.5
    began, other = time.monotonic(), threading.Thread(target=sandbox.run, args=(nap,))
    other.start()
    time.sleep(0.1)
    assert sandbox.run(Program("print(1)"), alone=True).output == "1\n"
    assert time.monotonic() - began > 0.8
    other.join()


def test_a_jail_that_dies_is_replaced(sandbox: Sandbox) -> None:
    double = Program(DOUBLE, function="f", arguments=[[21]])
    for _ in range(2):
        with sandbox.jail() as jail:
            jail._process.kill()
            jail._process.wait()
        assert sandbox.run(double).answers == (Answer(42),)
        assert sandbox.run(double).answers == (Answer(42),)


def test_a_jail_is_recycled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RECYCLED", 3)
    with open_sandbox(Limits(), workers=1) as sandbox:
        jails = set()
        for _ in range(7):
            with sandbox.jail() as jail:
                jails.add(jail._process.pid)
            assert sandbox.run(Program("print(1)")).output == "1\n"
        assert len(jails) >= 3


def test_nothing_is_left_when_the_runner_is_killed(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(runner.__file__).parents[3])!r})
from selfimprove.safety.sandbox.runner import *
from selfimprove.safety.sandbox.open import open_sandbox
sandbox = open_sandbox(workers=2)
import threading
threading.Thread(target=sandbox.run, args=(Program("while True: pass"),)).start()
keepers = open(f"/proc/self/task/{{threading.get_native_id()}}/children").read().split()
servers = [open(f"/proc/{{k}}/task/{{k}}/children").read().split() for k in keepers]
children = [open(f"/proc/{{s}}/task/{{s}}/children").read().split() for [s] in servers]
print(*keepers, *sum(servers, []), *sum(children, []), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    pids = done.stdout.split()
    assert 5 <= len(pids) <= 6, done.stderr  # a jail may be between two children
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(alive(pid) for pid in pids):
        time.sleep(0.02)
    assert not [pid for pid in pids if alive(pid)]


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.long
def test_temporary_files_in_tier_a_and_never_from_the_last_program() -> None:
    here = "import os, tempfile\nos.chdir(tempfile.gettempdir())\n"
    write = "for i in range(40):\n    os.makedirs(f'd{i}/e')\n    open(f'd{i}/e/f', 'w').write('x')\nprint(len(os.listdir()))"
    fill = "i = 0\nwhile True:\n    open(f'f{i}', 'w').write('x')\n    i += 1"
    grow = "with open('f', 'wb') as f:\n    while True:\n        f.write(bytes(1 << 20))"
    with open_sandbox(workers=1, tier="A") as sandbox:
        for _ in range(2):
            assert sandbox.run(Program(here + write)).output == "40\n"
            assert sandbox.run(Program(here + fill)).status == "error:OSError"
            assert sandbox.run(Program(here + grow)).status == "error:OSError"
        assert sandbox.run(Program(here + "os.mkdir('d', 0)\nos.mkdir('e', 0)")).status == "ok"
        assert sandbox.run(Program(here + "print(os.listdir())")).output == "[]\n"
        assert sandbox.run(Program("open('f', 'w')")).status != "ok"
    with open_sandbox(Limits(files=True), workers=1, tier="A") as sandbox:
        assert sandbox.run(Program("print(open('f', 'w').write('xyz'))")).output == "3\n"


def test_files_need_namespaces() -> None:
    with pytest.raises(EngineError, match="tier B") as caught:
        open_sandbox(Limits(files=True), workers=1, tier="B")
    assert caught.value.code == 69


def test_a_self_test_that_finds_a_way_out_stops_the_tier(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forged = tmp_path / "attacks.py"
    forged.write_text("def attempt(aim):\n    return ['read a file']\ndef honest():\n    return []")
    monkeypatch.setattr(selftest, "SOURCE", forged)
    with pytest.raises(EngineError) as caught:
        open_sandbox(workers=1)
    message = str(caught.value)
    assert caught.value.code == 69 and "\n" not in message
    assert "tier A: a program can read a file" in message and "tier B: " in message


def test_the_self_test_sees_what_is_open_where_nothing_confines() -> None:
    code = f"import json, sys; exec(open({str(selftest.SOURCE)!r}).read()); print(attempt(json.loads(sys.argv[1])))"
    with selftest.targets() as aim:
        aim["pid"] = os.getpid()
        done = subprocess.run([sys.executable, "-c", code, json.dumps(aim)], capture_output=True, text=True, cwd="/")
    worked = done.stdout
    for name in ("read a file", "read a file of this project", "list a folder", "write a file", "change a file's mode", "connect to a port", "fork",
                 "send a datagram", "connect to an abstract socket", "start a program", "signal a process",
                 "read a process's environment", "take 8 GiB"):  # fmt: skip
        assert name in worked, done.stderr


def test_a_machine_without_a_sandbox_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Jail):
        def wait(self) -> None:
            raise JailLost("unshare: Operation not permitted")

    monkeypatch.setattr(runner, "Jail", Refusing)
    with pytest.raises(EngineError, match="tier A: unshare.*tier B.*Landlock and seccomp") as caught:
        open_sandbox(workers=1)
    assert caught.value.code == 69
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(EngineError, match="Linux only"):
        open_sandbox()


def test_the_shared_sandbox_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(open, "open_sandbox", lambda limits: opened.append(limits) or object())
    open._shared.cache_clear()
    assert open.shared() is open.shared() and open.shared(Limits(memory=1 << 30)) is not open.shared()
    assert len(opened) == 2
    open._shared.cache_clear()


def test_an_outcome_has_the_facts(sandbox: Sandbox) -> None:
    outcome = sandbox.run(Program("import sys\nsum(range(3 * 10**6))\nprint('x')\nsys.exit(7)"))
    assert isinstance(outcome, Outcome) and (outcome.output, outcome.exit_code) == ("x\n", 7)
    assert 0 < outcome.cpu_seconds < 1.1 and outcome.seconds > 0
