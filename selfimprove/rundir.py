"""The run folder: one folder per finished step, committed so that a kill or a power cut loses no finished work.

A step is written in `.<stage>.partial`, every file is fsynced, `step.json` with the sha256 of all files comes last,
then the folder is renamed and its parent fsynced. A valid folder is the only proof that a step is done.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selfimprove.errors import BusyError, DataError, MissingError, StorageError

MANIFEST = "step.json"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG}


class RunDir:
    """The folder of one run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @staticmethod
    def create(root: Path) -> RunDir:
        """Make the folder of a new run.

        Raises:
            StorageError: the folder exists and is not empty, or cannot be made.
        """
        with storage():
            try:
                root.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise StorageError(f"{root} cannot be a run folder: a file is in the way; choose --out") from error
            if any(root.iterdir()):
                raise StorageError(
                    f"{root} exists and is not empty. Continue it with: selfimprove resume {root}; or choose --out"
                )
        return RunDir(root)

    @staticmethod
    def open(root: Path) -> RunDir:
        """The folder of an earlier run.

        Raises:
            MissingError: there is no run in the folder.
        """
        if not (root / "recipe.yaml").is_file() or not (root / "environment.json").is_file():
            raise MissingError(
                f"{root} is not a run folder: it lacks recipe.yaml or environment.json. Start one with: selfimprove run"
            )
        return RunDir(root)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process; the kernel lets go when the process ends, however it ends.

        Raises:
            BusyError: another process holds it.
        """
        with storage():
            handle = os.open(self.root / "LOCK", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                owner = os.read(handle, 200).decode(errors="replace").strip() or "another process"
                raise BusyError(f"{self.root} is in use by {owner}; wait for it or end it, then try again") from error
            os.ftruncate(handle, 0)
            os.write(handle, f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
            yield
        finally:
            os.close(handle)

    def step(self, number: int, stage: str) -> Path:
        """Where a finished step of a round lies."""
        return self.root / f"round_{number:03d}" / stage

    def done(self, number: int, stage: str, fingerprint: str) -> bool:
        """Whether the step is finished with this fingerprint and its files are as they were written.

        A damaged step is moved to quarantine/ and counts as not done.

        Raises:
            DataError: the step was made with other options.
        """
        folder = self.step(number, stage)
        if not folder.exists():
            return False
        if not intact(folder):
            self._quarantine(folder, number, stage)
            return False
        if self.manifest(number, stage)["fingerprint"] != fingerprint:
            raise DataError(
                f"{folder} was made with other options or from other inputs; remove it to redo the run from there"
            )
        return True

    def manifest(self, number: int, stage: str) -> dict[str, Any]:
        """step.json of a finished step."""
        return json.loads((self.step(number, stage) / MANIFEST).read_text())

    def begin(self, number: int, stage: str) -> Path:
        """An empty folder to write a step in."""
        folder = self.step(number, stage)
        partial = folder.with_name(f".{stage}.partial")
        with storage():
            if partial.exists():
                shutil.rmtree(partial)
            partial.mkdir(parents=True)
        return partial

    def commit(self, number: int, stage: str, notes: dict[str, Any]) -> Path:
        """Make what was written since `begin` the finished step; `notes` go into step.json."""
        folder = self.step(number, stage)
        partial = folder.with_name(f".{stage}.partial")
        with storage():
            seal(partial, notes)
            partial.rename(folder)
            _fsync(folder.parent)
            _fsync(self.root)
        return folder

    def discard(self, number: int, stage: str) -> None:
        """Remove what an unfinished step left behind."""
        shutil.rmtree(self.step(number, stage).with_name(f".{stage}.partial"), ignore_errors=True)

    def point(self, name: str, target: Path) -> None:
        """Let the symlink `name` point to a finished folder, atomically."""
        with storage():
            fresh = self.root / f".{name}.new"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(os.path.relpath(target, self.root))
            fresh.replace(self.root / name)

    def _quarantine(self, folder: Path, number: int, stage: str) -> None:
        with storage():
            shelf = self.root / "quarantine"
            shelf.mkdir(exist_ok=True)
            taken = len(list(shelf.iterdir()))
            folder.rename(shelf / f"{taken:03d}_round_{number:03d}_{stage}")


def seal(folder: Path, notes: dict[str, Any]) -> None:
    """Make a folder durable: fsync every file in it, then write step.json with `notes` and the sha256 of the files."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            files[str(path.relative_to(folder))] = {"size": path.stat().st_size, "sha256": _sha256(path)}
        _fsync(path)
    write_json(folder / MANIFEST, {**notes, "files": files})
    _fsync(folder)


def intact(folder: Path) -> bool:
    """Whether the files of a sealed folder are as they were."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        return all(_sha256(folder / name) == entry["sha256"] for name, entry in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is either the old one or the whole new one."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text so that the file is either the old one or the whole new one."""
    with storage():
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text, encoding="utf-8")
        _fsync(fresh)
        fresh.replace(path)


@contextlib.contextmanager
def storage() -> Iterator[None]:
    """Turn the errors of a full or failing disk into a StorageError; a failed fsync is never tried again."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL or isinstance(error, PermissionError):
            where = f" ({error.filename})" if error.filename else ""
            raise StorageError(
                f"cannot write{where}: {error.strerror}. Finished steps are kept; mend it, then: selfimprove resume"
            ) from error
        raise


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
