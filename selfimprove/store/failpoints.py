"""Injected faults for tests of crash safety: die, lose power or fail at the n-th durable operation of a process.

Active only if SELFIMPROVE_FAILPOINT is set to `NAME:N:KIND`: the n-th operation (from 0) whose name matches the pattern
NAME, for example `commit.rename:3:kill` or `*:17:enospc+`. Kinds:

    kill    SIGKILL
    power   leave the folder SELFIMPROVE_FAILPOINT_ROOT as after a power cut: without what was not fsynced; then SIGKILL
    torn    the same, but all names and half of the data have reached the disk
    eio     the operation fails with an input/output error; `eio+`: this and all later ones
    enospc  the disk is full; `enospc+`: from now on

A failed write leaves half of its data.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
import shutil
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from selfimprove.errors import RecipeError

SWITCH, ROOT = "SELFIMPROVE_FAILPOINT", "SELFIMPROVE_FAILPOINT_ROOT"
ERRORS = {"eio": errno.EIO, "enospc": errno.ENOSPC}
KINDS = ("kill", "power", "torn", *ERRORS, *(f"{name}+" for name in ERRORS))


class Disk:
    """The names and data of a folder that a power cut would leave: those that were fsynced; at first, everything."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names: dict[int, dict[str, tuple[int, str]]] = {}
        """Inode of a folder -> its durable entries: the inode and, for a symlink, its target."""
        self.data: dict[int, bytes] = {}
        """Inode of a file -> its durable content."""
        self._held: dict[int, int] = {}
        for folder, _, files in os.walk(root):
            self.synced(Path(folder))
            for name in files:
                self.synced(Path(folder) / name)

    def synced(self, path: Path) -> None:
        """Note that an fsync of this file or folder returned."""
        if not path.is_relative_to(self.root) or path.is_symlink():
            return
        inode = self._hold(path)
        if path.is_file():
            self.data[inode] = path.read_bytes()
        else:
            found = {one.name: one for one in path.iterdir()}
            self.names[inode] = {
                name: (self._hold(one), str(one.readlink()) if one.is_symlink() else "") for name, one in found.items()
            }

    def cut(self, names: bool) -> None:
        """Put the folder into the state after a power cut; with `names` every name is durable, fsynced or not."""
        if not self.root.exists():
            return
        now = {path.lstat().st_ino: path for path in self.root.rglob("*")}
        image = self.root.with_name(f"{self.root.name}.image")
        top = self.root.stat().st_ino
        if names:
            shutil.copytree(self.root, image, symlinks=True)
            for inode, path in now.items():
                if stat.S_ISREG(path.lstat().st_mode):
                    self._write(image / path.relative_to(self.root), inode, path)
        else:
            self._restore(image, top, now)
        shutil.rmtree(self.root)
        image.rename(self.root)

    def _restore(self, folder: Path, inode: int, now: dict[int, Path]) -> None:
        folder.mkdir()
        for name, (entry, target) in self.names.get(inode, {}).items():
            if target:
                (folder / name).symlink_to(target)
            elif stat.S_ISDIR(os.fstat(self._held[entry]).st_mode):
                self._restore(folder / name, entry, now)
            else:
                self._write(folder / name, entry, now.get(entry))

    def _write(self, target: Path, inode: int, source: Path | None) -> None:
        """The durable data, then half of the data written since, then zeros."""
        durable = self.data.get(inode, b"")
        written = source.read_bytes() if source else durable
        if not written.startswith(durable):
            durable = b""
        half = (len(written) - len(durable)) // 2 + len(durable)
        target.write_bytes(written if len(durable) == len(written) else written[:half].ljust(len(written), b"\0"))

    def follow(self, old: Path) -> None:
        """Track this folder from now on; it is a copy of `old`, which was tracked until now."""
        new = {path.lstat().st_ino: self._hold(self.root / path.relative_to(old)) for path in (old, *old.rglob("*"))}
        self.data = {new.get(inode, inode): data for inode, data in self.data.items()}
        self.names = {
            new.get(folder, folder): {name: (new.get(inode, inode), link) for name, (inode, link) in entries.items()}
            for folder, entries in self.names.items()
        }

    def _hold(self, path: Path) -> int:
        """The inode of a path, kept open so that the kernel does not reuse its number."""
        inode = path.lstat().st_ino
        if inode not in self._held:
            self._held[inode] = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        return inode


@dataclass
class State:
    """The operations of this process so far."""

    spec: str
    root: str
    pattern: str
    index: int
    kind: str
    disk: Disk | None
    before: Callable[[int], None] | None = None
    """Called with the number of each operation before it happens."""
    hits: int = 0
    seen: list[str] = field(default_factory=list)
    """The names of all operations so far."""
    places: list[Path] = field(default_factory=list)
    """The path that each of them changes."""


_state: State | None = None


def state() -> State:
    """The state for the current values of SELFIMPROVE_FAILPOINT and its ROOT; new values start a new state."""
    global _state
    spec, root = os.environ.get(SWITCH, ""), os.environ.get(ROOT, "")
    if _state is None or (_state.spec, _state.root) != (spec, root):
        pattern, index, kind = spec.split(":") if spec.count(":") == 2 else ("", "", "")
        if kind not in KINDS or not index.lstrip("-").isdigit():
            raise RecipeError(f"{SWITCH}={spec!r} is not NAME:N:KIND, with a kind of {', '.join(KINDS)}")
        disk = Disk(Path(os.environ[ROOT]).absolute()) if kind in ("power", "torn") else None
        _state = State(spec, root, pattern, int(index), kind, disk)
    return _state


def hit(name: str, path: Path, handle: int | None = None, data: bytes = b"") -> None:
    """Called before each durable operation; `data` is what it will write to `handle`."""
    now = state()
    now.seen.append(name)
    now.places.append(path)
    if not fnmatch.fnmatch(name, now.pattern):
        return
    number, now.hits = now.hits, now.hits + 1
    if now.before:
        now.before(number)
    if not (number == now.index or (number > now.index >= 0 and now.kind.endswith("+"))):
        return
    if handle is not None:
        with contextlib.suppress(OSError):
            os.write(handle, data[: len(data) // 2])
    if now.kind.rstrip("+") in ERRORS:
        number = ERRORS[now.kind.rstrip("+")]
        raise OSError(number, os.strerror(number), str(path))
    if now.disk:
        now.disk.cut(names=now.kind == "torn")
    os.kill(os.getpid(), signal.SIGKILL)


def synced(path: Path) -> None:
    """Called after each fsync."""
    disk = state().disk
    if disk:
        disk.synced(path.absolute())
