"""Checkpoints of the trainings inside a step that is not finished, beside its partial folder: `.<stage>.training`.

Each is a folder that was sealed like a step and renamed to its place, so a kill while it is written leaves the former
one. It is bound to what the step is made from; one of other options, inputs or versions, or a damaged one, is thrown
away. When the step is finished, all of them are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from selfimprove.store import durable
from selfimprove.store.durable import storage
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import fault, read_manifest, seal


class Unfinished:
    """The checkpoints of one step's trainings. What they hold is the business of `training.resume`."""

    def __init__(
        self, run: RunDir, number: int, stage: str, bound: str = "", say: Callable[[str], None] = print
    ) -> None:
        """Args:
        bound: what the step is recognised by; a checkpoint with another is not used.
        """
        self.folder = run.step(number, stage).with_name(f".{stage}.training")
        self.bound, self.say = bound, say

    def newest(self, training: int) -> Path | None:
        """The newest whole checkpoint of the n-th training of this very step."""
        if self.folder.is_symlink():
            self.drop(self.folder, "a symlink is in its place")
        for path in sorted(self.folder.glob(f"{training:02d}-*"), reverse=True):
            wrong = "a symlink is in its place" if path.is_symlink() else fault(path)
            if not wrong and read_manifest(path)["bound"] != self.bound:
                wrong = "the step is made with other options, inputs or versions now"
            if not wrong:
                return path
            self.drop(path, wrong)
        return None

    def keep(self, training: int, step: int, write: Callable[[Path], None]) -> None:
        """Have a checkpoint written; it takes the place of the former one when it is whole.

        Raises:
            StorageError: there is no room, or the disk fails; the former one is still there.
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
        """Throw a checkpoint away that cannot be used."""
        durable.remove(checkpoint)
        self.say(f"the training begins anew, its checkpoint {checkpoint.name} is thrown away: {reason}")

    def clear(self) -> None:
        """The step is finished: nothing goes on from here any more."""
        if self.folder.exists() or self.folder.is_symlink():
            durable.remove(self.folder)
