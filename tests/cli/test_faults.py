"""Commands on a machine with a fault: one line and a documented exit code, no traceback, and the run is kept."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import MissingError, UserError, of_machine
from selfimprove.trials.rehearsal import rehearse

CODES = {0, 2, 65, 66, 69, 74}
SECONDS = 240
"""Longest time of a command, on a machine that nothing else keeps busy: the run of the fixture takes half a minute."""
SMALL = [
    "rounds=0",
    "gate_problems=8",
    "sealed_problems=8",
    "probe_problems=0",
    "audit_problems=0",
    "control_problems=0",
]
SMALL += ["model.tiny.max_steps=2", "model.tiny.check_every=2", "model.tiny.probes=2"]
COMMANDS = {
    "list": ["list"],
    "show": ["show", "selection", "threshold"],
    "check": ["check", "quickstart"],
    "run": ["run", "quickstart", "--out", "{new}", *SMALL],
    "resume": ["resume", "{run}"],
    "report": ["report", "{run}"],
    "compare": ["compare", "{run}", "{run}"],
    "verify": ["verify", "{run}", "--json"],
    "doctor": ["doctor"],
    "mark": ["mark", "{answers}", "--task", "gsm8k"],
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with the machine or the process."""

    before: Callable[[], Any] = lambda: None
    """Called in the process before the command starts."""
    environment: dict[str, str | None] = field(default_factory=dict)
    output: str = ""
    """A file to write the output to; `gone` for a pipe without a reader."""
    gone: bool = False
    """Whether the current folder is deleted."""


def closes(*numbers: int) -> Callable[[], None]:
    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


def limits(what: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(what, (most, most))


FAULTS = {
    "no current folder": Fault(gone=True),
    "no output": Fault(closes(1)),
    "no errors": Fault(closes(2)),
    "no streams": Fault(closes(0, 1, 2)),
    "no reader": Fault(output="gone"),
    "full output": Fault(output="/dev/full"),
    "ASCII": Fault(environment={"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}),
    "little memory": Fault(limits(resource.RLIMIT_AS, 300 << 20)),
    "few files": Fault(limits(resource.RLIMIT_NOFILE, 12)),
    "no writing": Fault(limits(resource.RLIMIT_FSIZE, 0)),
    "no home": Fault(environment={"HOME": None, "USER": None, "LOGNAME": None}),
    "no folder for temporary files": Fault(environment={"TMPDIR": "/nonexistent"}),
    "a cache that is a file": Fault(environment={"SELFIMPROVE_CACHE": "/dev/null"}),
    "a cache of a long name": Fault(environment={"SELFIMPROVE_CACHE": f"/tmp/{'a' * 300}"}),
    "no rights for others": Fault(lambda: os.umask(0o777)),
    "a terminal of one column": Fault(environment={"COLUMNS": "1", "TERM": "dumb"}),
    "signals ignored": Fault(lambda: [signal.signal(one, signal.SIG_IGN) for one in (signal.SIGPIPE, signal.SIGHUP)]),
}


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run that took no model, for the commands that only read what it found."""
    with rehearse(tmp_path_factory.mktemp("run")) as given:
        yield given.whole


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of no rounds."""
    folder = tmp_path_factory.mktemp("run") / "run"
    code, said = done(["run", "quickstart", "--out", str(folder), *SMALL], Fault(), folder.parent)
    assert code == 0, said
    return folder


def done(words: Sequence[str], fault: Fault, folder: Path) -> tuple[int, str]:
    """Run a command with a fault; its exit code and what it said to standard error."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    environment |= {name: value for name, value in fault.environment.items() if value is not None}
    for name in (name for name, value in fault.environment.items() if value is None):
        environment.pop(name, None)
    here = folder / "here"
    here.mkdir(exist_ok=True)
    output: Any = subprocess.DEVNULL
    if fault.output == "gone":
        reader, output = os.pipe()
        os.close(reader)
    elif fault.output:
        output = os.open(fault.output, os.O_WRONLY)

    def before() -> None:
        if fault.gone:
            here.rmdir()
        fault.before()

    try:
        ended = subprocess.run(
            [sys.executable, "-m", "selfimprove", *words],
            cwd=here,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            preexec_fn=before,
            timeout=SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)),
            check=False,
        )
    finally:
        if output != subprocess.DEVNULL:
            os.close(output)
    return ended.returncode, ended.stderr.decode(errors="replace")


def held(command: str, name: str, run: Path, folder: Path) -> None:
    """Carry out a command with a fault and check what is promised."""
    answers = folder / "answers.jsonl"
    answers.write_text('{"completion": "so it is \\u00e9 \\\\boxed{1}", "reference": "1"}\n')
    places = {"run": run, "new": folder / "new", "answers": answers}
    before = {path: path.read_bytes() for path in run.rglob("*.json*") if path.is_file()}
    code, said = done([word.format(**places) for word in COMMANDS[command]], FAULTS[name], folder)
    assert code in CODES, f"{code}: {said}"
    assert "Traceback" not in said and "Exception ignored" not in said, said
    if code and "no errors" not in name and "no streams" not in name:
        assert said.splitlines()[-1].startswith("error: "), said
    if name in ("no reader", "no output", "no streams", "ASCII", "signals ignored", "a terminal of one column"):
        assert code == 0, said
    assert {path: path.read_bytes() for path in before} == before, "the run is kept"


SOME = [("list", "ASCII"), ("list", "full output"), ("report", "no reader"), ("report", "no streams")]
SOME += [("check", "no current folder"), ("check", "few files")]


@pytest.mark.runs
@pytest.mark.parametrize(("command", "name"), SOME)
def test_a_fault_is_one_line_and_the_run_is_kept(command: str, name: str, rehearsed: Path, tmp_path: Path) -> None:
    held(command, name, rehearsed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_every_command_with_every_fault(name: str, finished: Path, tmp_path: Path) -> None:
    for command in COMMANDS:
        folder = tmp_path / command
        folder.mkdir()
        held(command, name, finished, folder)


ERRORS: list[tuple[BaseException, int | None, str]] = [
    (MemoryError(), 69, "no further memory"),
    (OSError(errno.EMFILE, "Too many open files"), 69, "gives no more"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), 69, "gives no more"),
    (OSError(errno.ENOSPC, "No space left on device", "runs/x"), 74, "cannot write 'runs/x'"),
    (OSError(errno.ENOSPC, "No space left on device"), 74, "then type the command again"),
    (FileNotFoundError(errno.ENOENT, "No such file"), 66, "current folder no longer exists"),
    (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), 74, "TMPDIR"),
    (FileNotFoundError(errno.ENOENT, "No such file", "x"), 66, "cannot use 'x'"),
    (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 5000), 74, "File name too long"),
    (PermissionError(errno.EACCES, "Permission denied", "x"), 74, "Permission denied"),
    (OSError("no number"), 74, "no number"),
    (RuntimeError("can't start new thread"), 69, "a further thread"),
    (ImportError("libtorch.so: failed to map segment from shared object"), 69, "memory for a library"),
    (RuntimeError("Could not determine home directory."), 66, "home folder"),
    (RuntimeError("Symlink loop from 'x'"), 66, "symlinks"),
    (ValueError("embedded null byte"), 66, "NUL"),
    (RuntimeError("a bug"), None, ""),
    (ValueError("a bug"), None, ""),
    (ImportError("No module named x"), None, ""),
]


@pytest.mark.parametrize(("error", "code", "words"), ERRORS)
def test_what_a_fault_of_the_machine_means(error: BaseException, code: int | None, words: str) -> None:
    known = of_machine(error)
    assert (known and known.code) == code
    assert known is None or (words in str(known) and "\n" not in str(known) and len(str(known)) < 500)


def test_a_message_keeps_its_beginning_and_what_to_type_next() -> None:
    said = str(MissingError(f"{'x' * 9000} is missing; type this"))
    assert len(said) < 1500 and said.startswith("xxx") and said.endswith("type this")
    assert str(UserError("short")) == "short"
