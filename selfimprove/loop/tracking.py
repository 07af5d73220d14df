"""The numbers of each round, for trackers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any


def tensorboard(root: Path, line: dict[str, Any]) -> None:
    """The numbers of a round for TensorBoard, if it is installed."""
    if find_spec("tensorboard") is None:
        return
    from torch.utils.tensorboard.writer import SummaryWriter

    with SummaryWriter(str(root / "tensorboard")) as writer:
        for name, value in line.items():
            number = value.get("value") if isinstance(value, dict) else value
            if isinstance(number, int | float) and name != "round":
                writer.add_scalar(name, number, line["round"])
