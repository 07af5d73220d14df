"""Tests what a run folder survives: breaks a rehearsal at every durable operation, and damages every file.

Each trial runs in a fork of this process. Then the run is resumed without a fault, and its folder must equal, file by
file, that of an undisturbed run. How a resume ends depends only on what the fault left behind, so folders that are
equal to the last byte are resumed once; several faults often leave the same folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from selfimprove.errors import MissingError, UserError
from selfimprove.records import digest
from selfimprove.report.verify import verify
from selfimprove.store import failpoints
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import MANIFEST, TIMES
from selfimprove.trials.rehearsal import Rehearsal, contents, fault

CHUNK = 40
"""Points at which one run is broken, each in a fork of it."""
SHARES = 4
"""A share takes each fourth point."""
_HELD = list[Rehearsal]()
T = TypeVar("T")


def _state(root: Path) -> str:
    """The state that a resume starts from: `contents`, the folders, and damaged files of times."""
    found = contents(root)
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_dir() and not path.is_symlink():
            found[name] = "folder"
        elif path.name == TIMES:
            found[name] = "times"
            try:
                json.loads(path.read_bytes())["seconds"]
            except (ValueError, KeyError, TypeError):
                found[name] = path.read_bytes().hex()
    return digest(found)


def in_fork(work: Callable[[], object]) -> tuple[int, str]:
    """Run a function in a fork; returns its exit code, or minus the signal that ended it, and its error message."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _leave(write, *_outcome(work))
    os.close(write)
    return _ended(child, read)


def _outcome(work: Callable[[], object]) -> tuple[int, str]:
    """The exit code and the message of an error: a UserError's own code, as on the command line; otherwise 1."""
    try:
        work()
    except UserError as error:
        return error.code, str(error)
    except BaseException as error:
        return 1, f"{type(error).__name__}: {error}"
    return 0, ""


def _leave(pipe: int, code: int, said: str) -> NoReturn:
    os.write(pipe, said.encode()[:4000])
    os._exit(code)


def _ended(child: int, pipe: int) -> tuple[int, str]:
    with os.fdopen(pipe, "rb") as file:
        said = file.read().decode(errors="replace")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


# ---- faults at every operation -------------------------------------------------------------------------------------
@dataclass
class Row:
    """One kind of fault, at all points."""

    kind: str
    points: int = 0
    resumed: int = 0
    """New states: different from each other and from those of earlier faults."""
    redone: int = 0
    """Committed steps that were repeated."""
    wrong: list[str] = field(default_factory=list)
    """The faults that broke a promise."""
    seconds: float = 0.0


def share_of_points(given: Rehearsal, share: int) -> list[int]:
    """Every fourth point, and one for each kind of operation in each kind of step that these do not cover.

    Another `share` takes other points; four consecutive shares cover all.
    """
    groups = dict[tuple[str, str], list[int]]()
    for point, kind in enumerate(zip(given.steps, given.operations, strict=True)):
        groups.setdefault(kind, []).append(point)
    fourth = {*range(share % SHARES, len(given.operations), SHARES)}
    return sorted(
        fourth.union(*({points[share % len(points)]} for points in groups.values() if not fourth & {*points}))
    )


def sweep(
    given: Rehearsal, kinds: Sequence[str] = failpoints.KINDS, points: Sequence[int] | None = None, jobs: int = 2
) -> Iterator[Row]:
    """Test each kind of fault at each of these durable operations, by default at all of them."""
    points = range(len(given.operations)) if points is None else points
    chunks = [points[i : i + CHUNK] for i in range(0, len(points), CHUNK)]
    with _forks(given, jobs) as pool:
        for kind in kinds:
            began, row = time.monotonic(), Row(kind)
            for wrong, redone, new in itertools.chain.from_iterable(pool.map(partial(_there, _trials, kind), chunks)):
                row.points, row.resumed, row.redone = row.points + 1, row.resumed + new, row.redone + redone
                row.wrong += [wrong] if wrong else []
            row.seconds = time.monotonic() - began
            yield row


def _forks(given: Rehearsal, jobs: int) -> ProcessPoolExecutor:
    """Processes that have this rehearsal from their beginning: nothing of it is sent to them with each trial."""
    return ProcessPoolExecutor(jobs, get_context("fork"), initializer=_HELD.append, initargs=(given,))


def _there(work: Callable[..., T], *arguments: Any) -> T:
    """In such a process."""
    return work(_HELD[-1], *arguments)


def _trials(given: Rehearsal, kind: str, points: Sequence[int]) -> list[tuple[str, int, bool]]:
    """Inject a fault at each of these operations, then resume.

    Returns:
        For each operation: what went wrong, the number of repeated steps, and whether its state was new.
    """
    ended = _broken(given, kind, points)
    found = []
    for point in points:
        code, said = ended[point]
        where = f"{kind} at operation {point}, {given.operations[point]}"
        if code not in ((-signal.SIGKILL,) if kind in ("kill", "power", "torn") else (0, 74)):
            found.append((f"{where}: the run ended with {code}: {said}", 0, True))
            continue
        root = _left(given, kind, point)
        known = given.scratch / f"resumed-{_state(root)}"
        new = not known.exists()
        if new:  # two processes that get here at the same time both resume it
            noted = given.scratch / f"noted-{kind}-{point}"
            noted.write_text(json.dumps(_resumed(given, root)))
            noted.rename(known)
        shutil.rmtree(root, ignore_errors=True)
        wrong, redone = json.loads(known.read_text())
        found.append((wrong and f"{where}: {wrong}", redone, new))
    return found


def _left(given: Rehearsal, kind: str, point: int) -> Path:
    return given.scratch / f"{kind}-{point}"


class _Enough(BaseException):
    """The run reached the last point."""


def _broken(given: Rehearsal, kind: str, points: Sequence[int]) -> dict[int, tuple[int, str]]:
    """Run once; before each of these operations a fork continues with a copy of the folder and the fault.

    Returns:
        Exit code and message of each fork; `_left` names the folder that it leaves behind.
    """
    root, kept = (given.scratch / f"{kind}-from-{points[0]}{suffix}" for suffix in ("", ".kept"))
    ended, pipe = dict[int, tuple[int, str]](), 0

    def branch(number: int) -> None:
        nonlocal pipe
        if number not in points:
            return
        exists = root.exists()
        if exists:  # this process keeps its open files
            root.rename(kept)
            shutil.copytree(kept, root, symlinks=True)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            pipe, state = write, failpoints.state()
            state.before, state.index = None, number
            if exists:
                _follow(kept, root)
                if state.disk:
                    state.disk.follow(kept)
            return
        os.close(write)
        ended[number] = _ended(child, read)
        if root.exists():
            root.rename(_left(given, kind, number))
        if exists:
            kept.rename(root)
        if number == points[-1]:
            raise _Enough

    with fault(f"*:-1:{kind}", root):
        failpoints.state().before = branch
        code, said = _outcome(lambda: given.runner(given.begin(root)).run())
    if pipe:
        _leave(pipe, code, said)
    shutil.rmtree(root, ignore_errors=True)
    return {point: ended.get(point, (1, f"before it got there: {said}")) for point in points}


def _follow(old: Path, new: Path) -> None:
    """Redirect every open file of this process from one folder to its copy, at the same offset."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        handle = int(entry.name)
        with contextlib.suppress(OSError):  # the descriptor of the listing itself is closed by now
            path, flags = entry.readlink(), fcntl.fcntl(handle, fcntl.F_GETFL)
            if path.is_relative_to(old) and path.exists() and not flags & os.O_PATH:
                copy = os.open(new / path.relative_to(old), flags)
                os.lseek(copy, os.lseek(handle, 0, os.SEEK_CUR), os.SEEK_SET)
                os.dup2(copy, handle)
                os.close(copy)


def _resumed(given: Rehearsal, root: Path) -> tuple[str, int]:
    """Resume a run; returns what went wrong, and the number of repeated steps."""
    before = _steps(root)
    ended, said = in_fork(partial(_resume, given, root))
    if ended:
        return f"the resume ended with {ended}: {said}", 0
    now, after = contents(root), _steps(root)
    differ = sorted(name for name in now.keys() | given.image.keys() if now.get(name) != given.image.get(name))
    wrong = f"{', '.join(differ[:3])} differ" if differ else ""
    return wrong, sum(after.get(step) != changed for step, changed in before.items())


def _resume(given: Rehearsal, root: Path) -> None:
    try:
        folder = RunDir.open(root)
    except MissingError:  # the run had not begun
        folder = given.begin(root)
    given.runner(folder).run()


def _steps(root: Path) -> dict[str, int]:
    """The committed steps with metadata that shows whether they are still the same."""
    found = root.glob(f"round_*/[!.]*/{MANIFEST}")
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in found}


# ---- damaged files -------------------------------------------------------------------------------------------------
def _flip(path: Path, data: bytes) -> None:
    place = len(data) * 2 // 3
    path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])


def _zeros(path: Path, data: bytes) -> None:
    third = max(1, len(data) // 3)
    path.write_bytes(data[:third] + bytes(min(third, len(data) - third)) + data[2 * third :])


def _swap(path: Path, data: bytes) -> None:
    """The file of the same name in another step or round, else the recipe."""
    root = next(above for above in path.parents if (above / "environment.json").exists())
    others = [other for other in sorted(root.rglob(path.name)) if other.read_bytes() != data]
    path.write_bytes((others[-1] if others else root / "recipe.yaml").read_bytes())


def _symlink(path: Path, data: bytes) -> None:
    root = next(above for above in path.parents if (above / "environment.json").exists())
    away = path.rename(root.with_name(f"{root.name}.away"))
    path.symlink_to(away)


DAMAGES: dict[str, Callable[[Path, bytes], object]] = {
    "bit flip": _flip,
    "cut in half": lambda path, data: path.write_bytes(data[: len(data) // 2]),
    "hole of zeros": _zeros,
    "emptied": lambda path, data: path.write_bytes(b""),
    "bytes appended": lambda path, data: path.write_bytes(data + b"{}\n"),
    "another file": _swap,
    "deleted": lambda path, data: path.unlink(),
    "behind a symlink": _symlink,
}


@dataclass(frozen=True)
class Damage:
    """One file of a finished run, damaged in one way."""

    file: str
    damage: str
    seen: bool
    """Whether `verify` found it."""
    ended: str
    """What resume did: `refused`, `redone` (quarantine), `rewritten` (a derived file), `harmless`, or `SILENT`."""
    said: str

    @property
    def held(self) -> bool:
        """Whether the promise was kept: changed content is detected and never used."""
        return self.ended == "harmless" or (self.ended != "SILENT" and self.seen)


def cases(given: Rehearsal) -> list[tuple[str, str]]:
    """Every file of the undisturbed run with every damage."""
    files = [name for name in given.image if not given.image[name].startswith("->")]
    return [(file, damage) for file in [*files, "champion"] for damage in DAMAGES]


def share_of_cases(given: Rehearsal, share: int) -> list[tuple[str, str]]:
    """One damage of each file, another one in each share; as many shares in a row as there are damages take all."""
    files = list(dict.fromkeys(file for file, _ in cases(given)))
    return [(file, list(DAMAGES)[(number + share) % len(DAMAGES)]) for number, file in enumerate(files)]


def damages(given: Rehearsal, chosen: Sequence[tuple[str, str]] | None = None, jobs: int = 2) -> Iterator[Damage]:
    """Damage a file of the undisturbed run and resume it, for each of these cases, by default for all."""
    with _forks(given, jobs) as pool:
        yield from pool.map(partial(_there, _damaged), cases(given) if chosen is None else chosen, chunksize=4)


def _damaged(given: Rehearsal, case: tuple[str, str]) -> Damage:
    file, damage = case
    root = given.scratch / f"damaged-{digest(list(case))[:12]}"
    shutil.copytree(given.whole, root, symlinks=True)
    path = root / file
    if path.is_symlink():  # the link to the champion: another target, or none
        path.unlink()
        if damage != "deleted":
            path.symlink_to("round_001")
    else:
        DAMAGES[damage](path, path.read_bytes())
    if contents(root) == given.image:
        shutil.rmtree(root)
        return Damage(file, damage, False, "harmless", "")
    try:
        seen = any(finding.fine is False for finding in verify(root, given.load))
    except MissingError:
        seen = True
    ended, said = in_fork(partial(_resume, given, root))
    aside = (root / "quarantine").exists()
    same = contents(root) == given.image if ended == 0 else False
    shutil.rmtree(root)
    if ended in (0, 1) and not (ended == 0 and same):
        return Damage(file, damage, seen, "SILENT", said)
    return Damage(file, damage, seen, "refused" if ended else "redone" if aside else "rewritten", said)
