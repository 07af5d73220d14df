"""Save and restore the states of all random generators."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any


@contextlib.contextmanager
def unmoved() -> Iterator[None]:
    """Restore all random generators on exit."""
    before = states()
    try:
        yield
    finally:
        put_back(before["plain"], before["torch"])


def states() -> dict[str, Any]:
    """The states of all random generators."""
    import numpy
    import torch

    kind, keys, *rest = numpy.random.get_state(legacy=True)
    torchs = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        torchs |= {f"cuda{place}": state for place, state in enumerate(torch.cuda.get_rng_state_all())}
    return {"plain": {"python": random.getstate(), "numpy": [kind, list(map(int, keys)), *rest]}, "torch": torchs}


def put_back(plain: Mapping[str, Any], states: Mapping[str, Any], trial: bool = False) -> None:
    """Restore the states of generators; or only check that this works."""
    import numpy
    import torch

    version, keys, gauss = plain["python"]
    kind, *rest = plain["numpy"]
    (random.Random() if trial else random).setstate((version, tuple(keys), gauss))
    (numpy.random.RandomState() if trial else numpy.random).set_state((kind, *rest))
    (torch.Generator() if trial else torch.default_generator).set_state(states["cpu"])
    for device, state in states.items():
        if device.startswith("cuda") and not trial:
            torch.cuda.set_rng_state(state, int(device.removeprefix("cuda")))
