"""What a run folder survives, tried out: a rehearsal run is broken at every durable operation, and every file damaged.

The rehearsal is a whole run of three rounds without a model: a checkpoint is one number, the chance of a right answer.
Each trial happens in a fork of this process. Afterwards the run is resumed without a fault, and the folder has to be
equal, file by file, to that of a run that nothing happened to. What a fault left behind decides how a resume ends, so
folders that are equal to the last byte are resumed once: several faults often leave the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

from selfimprove import failpoints, registry
from selfimprove import recipe as recipes
from selfimprove.engine.fake import Fake
from selfimprove.errors import MissingError, UserError
from selfimprove.interfaces import Context, Engine, Log, Optimization, Sampling
from selfimprove.records import Checkpoint, Prompt, Record, Rollout, digest
from selfimprove.rundir import MANIFEST, TIMES, RunDir
from selfimprove.runner import Runner, create
from selfimprove.verify import verify

RECIPE = """\
defaults: [{model: pretrained}, {engine: rehearsal}, {optimization: rehearsal}]
rounds: 3
gate_problems: 30
sealed_problems: 10
probe_problems: 0
audit_problems: 2
audit_samples: 1
control_problems: 2
control_samples: 2
null_round: true
acquisition: {seed_prompts: {problems: 10}, rejection_sampling: {samples: 2}}
model: {pretrained: {path: START}}
"""
NOT_COMPARED = ("LOCK", TIMES)
"""Files that two equal runs do not share: who holds the run, and how long a step took."""
PUT_ASIDE = ("quarantine", "tensorboard")
"""Folders beside the run's own."""


@dataclass
class _Student(Engine):
    """Answers rightly with the chance that the checkpoint holds."""

    def sample(
        self, checkpoint: Checkpoint, prompts: Sequence[Prompt], n: int, sampling: Sampling, seed: int, log: Log
    ) -> list[list[Rollout]]:
        skill, answers = _skill(checkpoint), dict[str, dict[str, float]]()
        for prompt in prompts:
            digits = [int(digit) for digit in prompt.key.split("+")]
            said = prompt.prompt[-1]["content"]
            answers[said] = {f"#{sum(digits) % 10}": skill, f"#{(sum(digits) + 1) % 10}": 1 - skill}
        return Fake(answers).sample(checkpoint, prompts, n, replace(sampling, temperature=1.0), seed, log)

    def score(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        return [[-1.0] for _ in rollouts]


@dataclass
class _Practice(Optimization):
    """Each round adds to the chance of a right answer."""

    consumes: ClassVar[Any] = Rollout

    def optimize(self, records: Sequence[Record], context: Context) -> Checkpoint:
        skill = _skill(context.policy.checkpoint) + 0.25
        return _weights(context.folder / "model", min(1.0, skill), context.seed)


def _skill(checkpoint: Checkpoint) -> float:
    return json.loads((Path(checkpoint.path) / "config.json").read_text())["skill"]


def _weights(folder: Path, skill: float, seed: int = 0) -> Checkpoint:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"skill": skill}))
    data = random.Random(seed).randbytes(4096)
    head = json.dumps({"weight": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}).encode()
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + data)
    (folder / "tokenizer.json").write_text("{}")
    return Checkpoint(path=str(folder))


class _Silent:
    """Shows nothing."""

    def step(self, number: int, stage: str) -> None: ...
    def progress(self, done: int, total: int, unit: str = "") -> None: ...
    def metric(self, name: str, value: float) -> None: ...
    def note(self, text: str) -> None: ...
    def round(self, line: dict[str, Any]) -> None: ...


@dataclass
class Rehearsal:
    """A folder with the recipe of the rehearsal, and an undisturbed run of it."""

    scratch: Path
    whole: Path
    """The undisturbed run."""
    image: dict[str, str]
    """Its files, see `contents`."""
    operations: list[str]
    """The names of its durable operations."""
    seconds: float

    def begin(self, root: Path) -> RunDir:
        """A run that has not begun yet."""
        return create(str(self.scratch / "rehearsal.yaml"), [], root)


@contextlib.contextmanager
def rehearsal(scratch: Path) -> Iterator[Rehearsal]:
    """The undisturbed run; while this is open, its methods are registered and a recipe is composed once only."""
    methods = {("engine", "rehearsal"): _Student, ("optimization", "rehearsal"): _Practice}
    for (slot, name), method in methods.items():
        registry.METHODS[slot, name] = registry.Entry(slot, name, method, "")
    load, composed = recipes.load, dict[str, Any]()

    def once(name: str | Path, overrides: Sequence[str] = ()) -> Any:
        key = digest([Path(name).read_text(), list(overrides)])
        if key not in composed:
            composed[key] = load(name, overrides)
        return composed[key]

    recipes.load = once
    try:
        _weights(scratch / "start", 0.2)
        (scratch / "rehearsal.yaml").write_text(RECIPE.replace("START", str(scratch / "start")))
        made = Rehearsal(scratch, scratch / "whole", {}, [], 0.0)
        with _fault("*:-1:kill"):
            began = time.monotonic()
            Runner(made.begin(made.whole), _Silent()).run()
            made.seconds = time.monotonic() - began
            made.operations = list(failpoints.state().seen)
        made.image = contents(made.whole)
        yield made
    finally:
        recipes.load = load
        for place in methods:
            del registry.METHODS[place]


@contextlib.contextmanager
def _fault(spec: str, root: Path | None = None) -> Iterator[None]:
    os.environ[failpoints.SWITCH], os.environ[failpoints.ROOT] = spec, str(root)
    try:
        yield
    finally:
        del os.environ[failpoints.SWITCH], os.environ[failpoints.ROOT]


def contents(root: Path) -> dict[str, str]:
    """Every file of a run with its content, every symlink with its target; without what equal runs differ in."""
    found = dict[str, str]()
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name.split("/")[0] in PUT_ASIDE or path.name in NOT_COMPARED:
            continue
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_bytes().hex()
            if name == "summary.json":
                with contextlib.suppress(ValueError):
                    found[name] = digest(_timeless(json.loads(path.read_bytes())))
    return found


def _state(root: Path) -> str:
    """What a resume finds: `contents` with the folders, and with files of times that are damaged."""
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


def _timeless(value: Any) -> Any:
    """Without the seconds, and without the signature, which covers them."""
    if isinstance(value, dict):
        return {name: _timeless(part) for name, part in value.items() if name not in ("seconds", "sha256")}
    return [_timeless(part) for part in value] if isinstance(value, list) else value


def in_fork(work: Callable[[], object]) -> tuple[int, str]:
    """Do something in a fork; returns its exit code, or minus the signal that ended it, and the error that it met.

    A UserError is its exit code, as on the command line; any other error is 1.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code, said = 0, ""
        try:
            work()
        except UserError as error:
            code, said = error.code, str(error)
        except BaseException as error:
            code, said = 1, f"{type(error).__name__}: {error}"
        os.write(write, said.encode()[:4000])
        os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


# ---- faults at every operation -------------------------------------------------------------------------------------
@dataclass
class Row:
    """One kind of fault, at all points."""

    kind: str
    points: int = 0
    resumed: int = 0
    """Different states that the fault left behind, and that no fault before it had."""
    redone: int = 0
    """Finished steps that were done again although they had been committed."""
    wrong: list[str] = field(default_factory=list)
    """Where a fault ended otherwise than promised."""
    seconds: float = 0.0


def sweep(
    given: Rehearsal, kinds: Sequence[str] = failpoints.KINDS, every: int = 1, jobs: int = 2, first: int = 0
) -> Iterator[Row]:
    """Try each kind of fault at every durable operation, or at each `every`-th one from `first` on."""
    points = range(first, len(given.operations), every)
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
        for kind in kinds:
            began, row = time.monotonic(), Row(kind)
            for wrong, redone, new in pool.map(partial(_trial, given, kind), points, chunksize=4):
                row.points, row.resumed, row.redone = row.points + 1, row.resumed + new, row.redone + redone
                row.wrong += [wrong] if wrong else []
            row.seconds = time.monotonic() - began
            yield row


def _trial(given: Rehearsal, kind: str, point: int) -> tuple[str, int, bool]:
    """A fault at one operation, then a resume.

    Returns:
        What went wrong, how many finished steps were redone, and whether the state was one to be resumed first here.
    """
    root = given.scratch / f"{kind}-{point}"
    where = f"{kind} at operation {point}, {given.operations[point]}"

    def broken() -> None:
        with _fault(f"*:{point}:{kind}", root):
            failpoints.state()
            Runner(given.begin(root), _Silent()).run()

    ended, said = in_fork(broken)
    if ended not in ((-signal.SIGKILL,) if kind in ("kill", "power", "torn") else (0, 74)):
        return f"{where}: the run ended with {ended}: {said}", 0, True
    known = given.scratch / f"resumed-{_state(root)}"
    new = not known.exists()
    if new:  # of two processes that come here together, both resume it
        noted = given.scratch / f"noted-{kind}-{point}"
        noted.write_text(json.dumps(_resumed(given, root)))
        noted.rename(known)
    shutil.rmtree(root, ignore_errors=True)
    wrong, redone = json.loads(known.read_text())
    return wrong and f"{where}: {wrong}", redone, new


def _resumed(given: Rehearsal, root: Path) -> tuple[str, int]:
    """Resume a run; returns what went wrong, and how many finished steps were redone."""
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
    except MissingError:  # it had not begun
        folder = given.begin(root)
    Runner(folder, _Silent()).run()


def _steps(root: Path) -> dict[str, int]:
    """The committed steps, with what shows that they are still the same ones."""
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
    """Whether `verify` named something."""
    ended: str
    """What resume did: `refused`, `redone` (quarantine), `mended` (a derived file), `harmless`, or `SILENT`."""
    said: str

    @property
    def held(self) -> bool:
        """Whether the promise was kept: what is no longer what it was is seen, and never used."""
        return self.ended == "harmless" or (self.ended != "SILENT" and self.seen)


def damages(given: Rehearsal, every: int = 1, jobs: int = 2) -> Iterator[Damage]:
    """Damage each file of the undisturbed run in each way, or each `every`-th of these, and resume it."""
    files = [name for name in given.image if not given.image[name].startswith("->")]
    cases = [(file, damage) for file in [*files, "champion"] for damage in DAMAGES]
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
        yield from pool.map(partial(_damaged, given), cases[::every], chunksize=4)


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
        seen = any(finding.fine is False for finding in verify(root))
    except MissingError:
        seen = True
    ended, said = in_fork(partial(_resume, given, root))
    aside = (root / "quarantine").exists()
    same = contents(root) == given.image if ended == 0 else False
    shutil.rmtree(root)
    if ended in (0, 1) and not (ended == 0 and same):
        return Damage(file, damage, seen, "SILENT", said)
    return Damage(file, damage, seen, "refused" if ended else "redone" if aside else "mended", said)
