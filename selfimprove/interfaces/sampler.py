"""The sampler inside a training step: which problems or rows the next step uses, and which of them count."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from selfimprove.costs import NOTHING, Cost, Given
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout

if TYPE_CHECKING:
    from selfimprove.interfaces.policy import Context

PROMPTS, ROWS = "prompts", "rows"
"""What a sampler chooses: problems, whose completions the training step draws; or given completions."""


class Weights(Protocol):
    """What a sampler of rows may ask of the weights in training; nothing of it changes them or any random number."""

    def losses(self, places: Sequence[int]) -> list[float]:
        """The loss of each row: the mean over its learned tokens, in nats."""
        ...

    def products(self, places: Sequence[int], others: Sequence[int]) -> list[list[float]]:
        """The inner product of the loss gradients of each row with each of the others (rows, others)."""
        ...

    def gains(self, places: Sequence[int], others: Sequence[int], learning_rate: float) -> list[float]:
        """How far the mean loss of the others falls after one plain gradient step on each row alone."""
        ...

    def features(self, places: Sequence[int]) -> Any:
        """The mean last hidden state of each row, an array (rows, width)."""
        ...


@dataclass(kw_only=True)
class SamplerPool:
    """What a sampler chooses from, and everything that it remembers."""

    problems: Sequence[Prompt]
    rows: Sequence[Rollout] = ()
    """For a sampler of rows: the completions, one for each problem."""
    state: dict[str, Any] = field(default_factory=dict)
    """What the sampler remembers of this training, as JSON; it is part of the checkpoint of a training."""
    random: random.Random = field(default_factory=random.Random)
    """Random numbers that depend only on the seed, the step and the number of the draw in it."""
    step: int = 0
    """Finished steps."""
    left: int = 0
    """How many more times this step may draw in place of groups that do not count."""
    weights: Weights | None = None
    """For a sampler of rows: the weights in training."""


@dataclass
class Sampler(ABC):
    """Survey section 3.3: which problems or rows each training step uses, chosen while the model learns.

    A sampler keeps nothing in itself: `SamplerPool.state` has all that it knows, so a training continues after a stop.
    """

    chooses: ClassVar[str] = PROMPTS
    """`prompts` or `rows`."""

    def needs(self) -> Needs:
        """What it uses besides plain samples; it sees the groups of one process only."""
        return Needs(one_process=True)

    def again(self) -> int:
        """How many times at most a step draws again in place of groups that do not count."""
        return 0

    def cost(self, given: Given) -> Cost:
        """The largest cost of choosing in one training of `given.steps` steps; drawing again is not part of it."""
        return NOTHING

    def begin(self, pool: SamplerPool, context: Context) -> None:
        """Before the first step: prepare `pool.state`; a training that continues then gets the state that it had."""
        return None

    @abstractmethod
    def next(self, k: int, pool: SamplerPool) -> list[int]:
        """The places of k problems or rows for a step, or for those that it draws again."""

    def seen(self, places: Sequence[int], groups: Sequence[Sequence[float | None]], pool: SamplerPool) -> list[bool]:
        """Learn from the rewards of each problem's completions; which groups count.

        A group that does not count is replaced while `pool.left` is above 0, and else left out of the loss.
        """
        return [True] * len(places)
