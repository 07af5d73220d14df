"""How much memory a model takes, estimated from its files before anything is loaded, and what would fit."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from selfimprove.errors import EngineError

TRAINED = 16
"""Bytes for each weight that is trained: weight, gradient and two moments of Adam, all in float32."""
FROZEN = 4
"""Bytes for each weight that is held in float32 and not trained: under an adapter, or a reference model."""
ADAPTER = 0.01
"""Share of the weights that an adapter of usual rank has; our estimate."""
SPARE = 1.2
"""What activations, the cache of keys and values and the allocator take on top, as a factor; our estimate. Long
completions and large batches take more."""
GB = 1e9


@dataclass(frozen=True)
class Need:
    """Bytes that a model takes."""

    weights: int
    """Numbers in the model."""
    sampling: float
    """To sample with it, in the number type that it is stored in."""
    training: float
    """To train all of its weights, beside a copy that samples."""
    adapter: float
    """To train a low-rank adapter, beside a copy that samples."""


def need(folder: Path) -> Need:
    """The need of a folder with safetensors, from the sizes in their headers."""
    weights, stored = 0, 0
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        header.pop("__metadata__", None)
        weights += sum(math.prod(tensor["shape"]) for tensor in header.values())
        stored += sum(tensor["data_offsets"][1] - tensor["data_offsets"][0] for tensor in header.values())
    return Need(
        weights=weights,
        sampling=SPARE * stored,
        training=SPARE * (TRAINED * weights + stored),
        adapter=SPARE * ((FROZEN + TRAINED * ADAPTER) * weights + stored),
    )


def free() -> tuple[float, str]:
    """Bytes of free memory where a model would be loaded, and what has it: the first GPU, else the machine."""
    if "torch" in sys.modules or os.environ.get("CUDA_VISIBLE_DEVICES") or Path("/dev/nvidia0").exists():
        import torch

        if torch.cuda.is_available():
            return float(torch.cuda.mem_get_info(0)[0]), torch.cuda.get_device_name(0)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        [available] = [line for line in lines if line.startswith("MemAvailable:")]
        return float(available.split()[1]) * 1024, "this machine"
    except (OSError, ValueError, IndexError):  # no Linux: what is free is not known, so nothing is refused
        return math.inf, "this machine"


def check(name: str, found: Need, room: float, device: str) -> str:
    """What to do where a model can be run but not trained as a whole; "" where both fit.

    Raises:
        EngineError: not even its weights fit.
    """
    size = f"{name} has {found.weights / GB:.2g} billion weights"
    largest = max(0.0, room / SPARE / (TRAINED + 2)) / GB
    if found.sampling > room:
        raise EngineError(
            f"{size}: to load them takes about {_gb(found.sampling)} and {device} has {_gb(room)} free. Free some, "
            f"take a model of at most {_billions(room / SPARE / 2)} (16 bit), or a machine with more memory"
        )
    if found.training <= room:
        return ""
    ways = [f"lora.r=16 (about {_gb(found.adapter)})"] if found.adapter <= room else []
    ways += [f"a model of at most {largest:.1g} billion weights"] if largest >= 0.01 else []
    ways += [
        f"{math.ceil(found.training / room)} times this memory, in one GPU or over several with launcher=accelerate"
    ]
    return (
        f"{size}: to train all of them takes about {_gb(found.training)} and {device} has {_gb(room)} free. "
        f"What fits: {', or '.join(ways)}"
    )


def _gb(size: float) -> str:
    return f"{size / GB:.0f} GB" if size >= 10 * GB else f"{size / GB:.1f} GB"


def _billions(weights: float) -> str:
    return f"{weights / GB:.1g} billion weights"
