"""The run folder: one folder per finished step, committed so that a kill or a power cut loses no finished work.

A step is written in `.<stage>.partial`. To commit it, every file is fsynced, `step.json` with the sha256 of all files
is written last, then the folder is renamed and its parent fsynced. Only a valid folder proves that a step is finished.
"""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from selfimprove import foreign
from selfimprove.errors import BusyError, DataError, MissingError, StorageError
from selfimprove.records import digest
from selfimprove.store import durable
from selfimprove.store.durable import FULL as FULL
from selfimprove.store.durable import storage
from selfimprove.store.links import check_round, refuse_link
from selfimprove.store.run_place import is_run, why_no_run
from selfimprove.store.seal import MANIFEST, TIMES, draft, inspect, read_manifest, seal

Read = TypeVar("Read")
BEGUN = {"recipe.yaml", ".recipe.yaml.new", ".environment.json.new"}
"""Files that a kill may leave before the run begins; without environment.json there is no run yet."""


class RunDir:
    """The folder of one run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.touched: list[int] = []
        """The round of every step that was committed, quarantined or read again, in order: values cached from that
        round are out of date."""
        self._name = str(root)
        self._places: dict[tuple[int, str], Path] = {}
        self._known: dict[tuple[int, str], dict[str, Any]] = {}

    @staticmethod
    def create(root: Path) -> RunDir:
        """Create the folder of a new run.

        Raises:
            StorageError: the folder exists and is not empty, or cannot be created.
        """
        with storage():
            try:
                durable.mkdir(root)
                found = {path.name for path in root.iterdir()}
            except (FileExistsError, NotADirectoryError) as error:
                raise StorageError(f"{root} cannot be a run folder: a file is in the way; choose --out") from error
            if not found <= BEGUN:
                way = f"Continue it with: selfimprove resume {root}; or choose" if is_run(root) else "Choose another"
                raise StorageError(f"{root} exists and is not empty. {way} --out")
        return RunDir(root)

    @staticmethod
    def open(root: Path) -> RunDir:
        """The folder of an earlier run.

        Raises:
            MissingError: there is no run in the folder.
            DataError: one of its files is no regular file, one of its folders is a symlink, whose target no checksum
                covers, or a folder is foreign.
        """
        for name in ("recipe.yaml", "environment.json", "ledger.jsonl"):
            foreign.check(root / name)
        if not is_run(root):
            raise MissingError(f"{root} is not a run folder: {why_no_run(root)}")
        for path in root.glob("round_*"):
            if not re.fullmatch(r"round_\d{3,6}", path.name) or path.name != f"round_{int(path.name[6:]):03d}":
                raise DataError(f"{path} does not belong to a run; move it elsewhere")
            check_round(path)
        return RunDir(root)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run for this process; the kernel releases the lock when the process ends, for whatever reason.

        Raises:
            BusyError: another process holds it.
            DataError: what is written during the run, here or in the ledger, would change another file.
        """
        for name in ("LOCK", "ledger.jsonl"):
            durable.alone(self.root / name)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with storage():
            handle = os.open(self.root / "LOCK", flags, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                owner = os.read(handle, 200).decode(errors="replace").strip() or "another process"
                raise BusyError(f"{self.root} is in use by {owner}; wait for it or end it, then try again") from error
            since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            with storage():
                os.ftruncate(handle, 0)
                os.write(handle, f"pid {os.getpid()} on {socket.gethostname()} since {since}\n".encode())
            yield
        finally:
            os.close(handle)

    def locked(self) -> bool:
        """Whether a process holds the run."""
        try:
            with self.lock():
                return False
        except BusyError:
            return True

    def step(self, number: int, stage: str) -> Path:
        """The folder of a finished step."""
        if (number, stage) not in self._places:
            self._places[number, stage] = Path(f"{self._name}/round_{number:03d}/{stage}")
        return self._places[number, stage]

    def done(
        self,
        number: int,
        stage: str,
        fingerprint: str,
        inputs: str = "",
        say: Callable[[str], None] = lambda text: None,
    ) -> bool:
        """Whether the step is finished with this fingerprint and these inputs, and its files are intact.

        A damaged step, or one made from another result of the previous step, is moved to quarantine/ and counts as
        unfinished.

        Raises:
            DataError: the step was made with other options, or its folder is a symlink.
        """
        folder = self.step(number, stage)
        if self._known.pop((number, stage), None):
            self.reread(number, stage)  # values read from now on come from the files that are checked here
        for path in (folder.parent, folder):
            refuse_link(path)
        if not folder.exists():
            return False
        manifest, wrong = inspect(folder)
        if not wrong and manifest.get("fingerprint") != fingerprint:
            raise DataError(
                f"{folder} was made with other options or from other inputs; remove it to redo the run from there"
            )
        if not wrong and manifest.get("inputs", "") != inputs:
            wrong = "an earlier step was repeated with another result"
        self._known[number, stage] = {MANIFEST: manifest}
        if wrong:
            kept = self._quarantine(folder, number, stage)
            say(f"{folder} is repeated: {wrong}. The old folder is now {kept}")
        return not wrong

    def manifest(self, number: int, stage: str) -> dict[str, Any]:
        """step.json of a finished step."""
        return self.once(number, stage, MANIFEST, read_manifest)

    def once(self, number: int, stage: str, name: str, read: Callable[[Path], Read]) -> Read:
        """The result of `read` for the folder of a finished step, or of a round if `stage` is empty.

        The result is cached until that step, or any step of that round, is committed, quarantined or read again.
        """
        known = self._known.setdefault((number, stage), {})
        if name not in known:
            known[name] = read(self.step(number, stage))
        return known[name]

    def reread(self, number: int, stage: str) -> None:
        """Drop the cached results of a step and of its round, because the step may have changed."""
        self._known.pop((number, stage), None)
        self._known.pop((number, ""), None)
        self.touched.append(number)

    def finished(self, number: int) -> frozenset[str]:
        """The stages of a round whose steps are finished."""
        return self.once(number, "", "finished", _visible)

    def content(self, number: int, stage: str) -> str:
        """The sha256 over the files and the inputs of a finished step."""
        manifest = self.manifest(number, stage)
        return digest([manifest.get("inputs", ""), manifest["files"]])

    def seconds(self, number: int, stage: str) -> float:
        """Seconds that a finished step took; 0 if unknown."""
        return self.once(number, stage, TIMES, _seconds)

    def size(self, number: int) -> int:
        """Bytes of all files of a round."""
        return sum(file.stat().st_size for file in self.step(number, "").rglob("*") if file.is_file())

    def begin(self, number: int, stage: str) -> Path:
        """An empty folder to write a step in.

        Raises:
            DataError: the folder of the round is a symlink.
        """
        partial = self.partial(number, stage)
        refuse_link(partial.parent)
        durable.remove(partial)
        durable.mkdir(partial)
        return partial

    def partial(self, number: int, stage: str) -> Path:
        """The folder where a step is written."""
        return self.step(number, f".{stage}.partial")

    def journal(self, number: int, stage: str) -> Path:
        """The journal of an unfinished step; it survives when the partial folder is removed."""
        return self.step(number, f".{stage}.journal")

    def commit(
        self, number: int, stage: str, notes: dict[str, Any], seconds: float = 0.0, curve: Sequence[Any] = ()
    ) -> Path:
        """Commit the files written since `begin` as the finished step; `notes` go into step.json, which is signed, and
        what differs from run to run into timing.json: seconds, and the curve of training."""
        folder, partial = self.step(number, stage), self.partial(number, stage)
        with storage():
            draft(partial / TIMES, {"seconds": seconds, **({"curve": curve} if curve else {})})
        seal(partial, notes)
        if self.journal(number, stage).exists():
            durable.remove(self.journal(number, stage))
        durable.rename(partial, folder, "commit")
        self.reread(number, stage)
        durable.fsync(folder.parent, "commit")
        return folder

    def discard(self, number: int, stage: str) -> None:
        """Remove the files of an unfinished step."""
        with contextlib.suppress(StorageError):
            durable.remove(self.partial(number, stage))

    def point(self, name: str, target: Path) -> None:
        """Point the symlink `name` at a finished folder, atomically.

        A folder in its place comes from copying the run without symlinks: one with the files of a finished step is
        removed, any other is moved to quarantine/.
        """
        wanted = os.path.relpath(target, self.root)
        path = self.root / name
        if path.is_symlink() and str(path.readlink()) == wanted:
            return
        if path.is_dir() and not path.is_symlink():
            if any(alike(path, folder) for folder in (target, *self.root.glob(f"round_*/*/{target.name}"))):
                durable.remove(path)
            else:
                durable.rename(path, self.shelf(name), "quarantine")
        durable.link(path, wanted)

    def _quarantine(self, folder: Path, number: int, stage: str) -> Path:
        kept = self.shelf(f"round_{number:03d}_{stage}")
        durable.rename(folder, kept, "quarantine")
        self.reread(number, stage)
        for above in (kept.parent, folder.parent):
            durable.fsync(above, "quarantine")
        return kept

    def shelf(self, name: str) -> Path:
        """The next place in quarantine/, for what was set aside."""
        shelf = self.root / "quarantine"
        refuse_link(shelf)
        if shelf.exists() and not shelf.is_dir():
            raise DataError(f"{shelf} is no folder; move it elsewhere")
        durable.mkdir(shelf)
        return shelf / f"{len(list(shelf.iterdir())):03d}_{name}"


def alike(first: Path, second: Path) -> bool:
    """Whether two folders hold the same files with the same content."""
    names, others = ({str(p.relative_to(at)) for p in at.rglob("*") if p.is_file()} for at in (first, second))
    return (
        bool(names) and names == others and len(filecmp.cmpfiles(first, second, names, shallow=False)[0]) == len(names)
    )


def _seconds(folder: Path) -> float:
    try:
        seconds = foreign.json_in(f"{folder}/{TIMES}")["seconds"]
    except (OSError, KeyError, TypeError, DataError):
        return 0.0
    return float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e12 else 0.0


def _visible(folder: Path) -> frozenset[str]:
    """The names in a folder that do not begin with a dot; empty if the folder is missing."""
    try:
        return frozenset(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    except FileNotFoundError:
        return frozenset()
