"""A training in small: problems of known pass rates, and the loop that a sampler steers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from selfimprove.interfaces import Context, Sampler
from selfimprove.records import Prompt
from selfimprove.training.steering import Steered


class Training:
    """What a sampler chose in a training whose weights learn nothing unless `rates` changes."""

    def __init__(self, sampler: Sampler, rates: Sequence[float], levels: Sequence[Any], context: Context) -> None:
        self.rates = list(rates)
        self.problems = [
            Prompt(prompt=[{"role": "user", "content": str(i)}], key=str(i), info={"level": level})
            for i, level in enumerate(levels)
        ]
        self.guide = Steered(sampler, context, self.problems)
        self.chosen: list[list[int]] = []
        """The places of each step, before anything was drawn again."""
        self.trained: list[list[tuple[int, float]]] = []
        """The place and the mean reward of each group that counted, by step."""

    def step(self, k: int, n: int = 8) -> None:
        """One step: choose, draw n completions each, draw again, and train on what counts."""
        source = random.Random(f"{len(self.chosen)}")

        def drawn(places: Sequence[int]) -> list[list[float | None]]:
            return [[float(source.random() < self.rates[place]) for _ in range(n)] for place in places]

        places = self.guide.step(k)
        self.chosen.append(places)
        kept, stale = [], places
        for number in range(self.guide.again + 1):
            if number:
                stale = self.guide.more(len(stale))
            groups = drawn(stale)
            counted = self.guide.seen(stale, groups)
            kept += [(p, sum(one or 0.0 for one in g) / n) for p, g, c in zip(stale, groups, counted, strict=True) if c]
            stale = [place for place, counts in zip(stale, counted, strict=True) if not counts]
            if not stale:
                break
        self.trained.append(kept)

    @property
    def state(self) -> dict[str, Any]:
        """What the sampler knows."""
        return self.guide.pool.state


@pytest.fixture
def training(make_context: Callable[..., Context]) -> Callable[..., Training]:
    """`training(sampler, rates, levels)`: a training on problems of these pass rates."""

    def make(sampler: Sampler, rates: Sequence[float], levels: Sequence[Any] | None = None) -> Training:
        return Training(sampler, rates, levels or [i % 3 for i in range(len(rates))], make_context())

    return make
