"""What an unfinished selection has done, beside the file that it is to write: a kill loses a portion at most.

A step has a folder: a file of arrays for each part that was read, and `stay.npy` with `done.json` when it has chosen.
Each file is written under another name and renamed, so it is whole or absent. Nothing here is worth an fsync: what a
power cut takes is read again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfimprove.errors import BusyError
from selfimprove.store import durable

STATE, LOCK = "state.json", "LOCK"


class WorkFolder:
    """The parts and choices of the steps.

    Args:
        out: the file that is to be written.
        state: everything that the steps depend on; the work on another state is thrown away.

    Raises:
        BusyError: another process works in it.
    """

    def __init__(self, out: Path, state: Mapping[str, Any]) -> None:
        self.root = out.with_name(f".{out.name}.partial")
        with durable.storage():
            self.root.mkdir(exist_ok=True)
            self._lock = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise BusyError(f"another process is writing {out}; wait for it, or choose another --out") from error
        self.resumed = self._state() == json.loads(json.dumps(state))
        """Whether there is earlier work to go on with."""
        if not self.resumed:
            for old in self.root.iterdir():
                if old.is_dir() and not old.is_symlink():
                    shutil.rmtree(old)
                elif old.name != LOCK:
                    old.unlink()
            with durable.storage():
                (self.root / STATE).write_text(json.dumps(state), encoding="utf-8")

    def _state(self) -> Any:
        try:
            return json.loads((self.root / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def step(self, name: str) -> Path:
        """The folder of a step."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        return folder

    def keep(self, path: Path, arrays: Mapping[str, Any]) -> None:
        """Write arrays to a file."""
        import numpy as np

        fresh = path.with_name(f".{path.name}")
        with durable.storage():
            with fresh.open("wb") as file:
                np.savez(file, **arrays)
            fresh.rename(path)

    def parts(self, folder: Path) -> set[int]:
        """The numbers of the parts that a step has read."""
        return {int(one.stem) for one in folder.glob("[0-9]*.npz")}

    def read(self, folder: Path, count: int) -> dict[str, Any]:
        """The arrays of all parts of a step, put together along their first axis."""
        import numpy as np

        every = [loaded(part_in(folder, number)) for number in range(count)]
        names = every[0] if every else ()
        return {name: np.concatenate([one.pop(name) for one in every]) for name in tuple(names)}

    def done(self, folder: Path) -> tuple[list[int], dict[str, Any]] | None:
        """What a step has chosen, and what it told; None if it is not finished."""
        import numpy as np

        try:
            told = json.loads((folder / "done.json").read_text(encoding="utf-8"))
            return np.load(folder / "stay.npy", allow_pickle=False).tolist(), told
        except (OSError, ValueError):
            return None

    def finish(self, folder: Path, stay: Sequence[int], told: Mapping[str, Any]) -> None:
        """Keep what a step has chosen; its parts are not needed any more."""
        import numpy as np

        with durable.storage():
            np.save(folder / "stay.npy", np.asarray(stay, dtype=np.int64))
            fresh = folder / ".done.json"
            fresh.write_text(json.dumps(told), encoding="utf-8")
            fresh.rename(folder / "done.json")
        for part in folder.glob("[0-9]*.npz"):
            part.unlink()

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.root, ignore_errors=True)

    def close(self) -> None:
        """Let others write in it."""
        os.close(self._lock)


def part_in(folder: Path, number: int) -> Path:
    """The file of a part."""
    return folder / f"{number:07d}.npz"


def loaded(path: Path) -> dict[str, Any]:
    """The arrays in a file."""
    import numpy as np

    with np.load(path, allow_pickle=False) as found:
        return dict(found)
