"""The metrics of each round: metrics.jsonl, and the same for trackers."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.safety.redaction import redact
from selfimprove.store import durable
from selfimprove.store.seal import write_text


class MetricsFile:
    """metrics.jsonl, one line per finished round; it is derived from the steps, so it can always be written again.

    A line is appended if the file is as this process left it; otherwise, also after a truncated line, the whole file is
    written again. After each call the file has complete lines of all rounds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rounds, self._state = 0, _state(path)

    def write(self, number: int, line: Callable[[int], dict[str, Any]]) -> None:
        """Make the file contain exactly the lines of all rounds up to this one; `line` gives the line of a round."""
        if self._rounds == number > 0 and self._state and _state(self.path) == self._state:
            durable.append(self.path, redact(_text(line(number))).encode())
        else:
            write_text(self.path, "".join(_text(line(past)) for past in range(number + 1)))
        self._rounds, self._state = number + 1, _state(self.path)


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line) + "\n"


def _state(path: Path) -> tuple[int, int, int] | None:
    """Metadata that changes with the content of a file; None if there is no regular file of one name."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # a hard link may be a snapshot, which must not change
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def tensorboard(root: Path, line: dict[str, Any]) -> None:
    """Write the metrics of a round for TensorBoard, if it is installed."""
    if find_spec("tensorboard") is None:
        return
    from torch.utils.tensorboard.writer import SummaryWriter

    if (folder := root / "tensorboard").is_symlink():
        raise DataError(f"{folder} is a symlink, not a folder of the run; put a folder in its place")
    with SummaryWriter(str(folder)) as writer:
        for name, value in line.items():
            number = value.get("value") if isinstance(value, dict) else value
            if isinstance(number, int | float) and name != "round":
                writer.add_scalar(name, number, line["round"])
