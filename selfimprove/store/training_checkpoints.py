"""Training checkpoints of an unfinished step, in `.<stage>.training` beside its partial folder.

Each checkpoint is a folder that is sealed like a step and then renamed, so a kill during writing leaves the previous
one. It is bound to the step's options, inputs and versions; a checkpoint with others, or a damaged one, is removed.
Finishing the step removes them all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from selfimprove.store import durable
from selfimprove.store.durable import storage
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import damage, read_manifest, seal


class Unfinished:
    """The checkpoints of a step, by training run (a step may train more than once). `trl.resume` writes them."""

    def __init__(
        self, run: RunDir, number: int, stage: str, bound: str = "", say: Callable[[str], None] = print
    ) -> None:
        """Args:
        bound: identifies the step; a checkpoint with another value is not used.
        """
        self.folder = run.step(number, stage).with_name(f".{stage}.training")
        self.bound, self.say = bound, say

    def newest(self, training: int) -> Path | None:
        """The newest intact checkpoint of the step's n-th training run."""
        if self.folder.is_symlink():
            self.drop(self.folder, "a symlink is in its place")
        for path in sorted(self.folder.glob(f"{training:02d}-*"), reverse=True):
            wrong = "a symlink is in its place" if path.is_symlink() else damage(path)
            if not wrong and read_manifest(path).get("bound") != self.bound:
                wrong = "the options, inputs or versions of the step have changed"
            if not wrong:
                return path
            self.drop(path, wrong)
        return None

    def keep(self, training: int, step: int, write: Callable[[Path], None]) -> None:
        """Write a checkpoint with `write`; once it is complete, it replaces the previous one.

        Raises:
            StorageError: the disk is full or fails; the previous checkpoint is kept.
        """
        name, fresh = f"{training:02d}-{step:08d}", self.folder / f".{training:02d}.new"
        if (self.folder / name).exists():
            return
        durable.remove(fresh)
        durable.mkdir(fresh)
        try:
            with storage():
                write(fresh)
            seal(fresh, {"bound": self.bound})
        except BaseException:
            durable.remove(fresh)
            raise
        durable.rename(fresh, self.folder / name, "keep")
        durable.fsync(self.folder, "keep")
        for former in self.folder.glob(f"{training:02d}-*"):
            if former.name != name:
                durable.remove(former)

    def drop(self, checkpoint: Path, reason: str) -> None:
        """Remove a checkpoint that cannot be used."""
        durable.remove(checkpoint)
        self.say(f"training starts over; its checkpoint {checkpoint.name} cannot be used and is removed: {reason}")

    def clear(self) -> None:
        """Remove all checkpoints of the finished step."""
        if self.folder.exists() or self.folder.is_symlink():
            durable.remove(self.folder)
