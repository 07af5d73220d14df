"""What an engine is asked: how to draw, from which weights, and where progress is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from selfimprove.needs import Needs
from selfimprove.records import (
    Checkpoint,
    Prompt,
)

PLAIN = Needs()
REQUIRED: Any = "???"
"""The default of an option that a recipe has to set; OmegaConf's mark for it."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to draw completions; the names are vLLM's and TRL's. Temperature 0 is greedy."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    max_completion_length: int | None = None
    """Tokens per completion; None leaves it to the engine."""
    stop: tuple[str, ...] = ()
    """Strings that end a completion: with the token that completes one, which text and ids keep."""
    note: tuple[str, ...] = ()
    """Statistics to note for each token while drawing, in `Rollout.noted`, as `Engine.logprobs_of` names them. An
    engine that would have to work one out anew leaves it out."""
    tops: int = 0
    """How many of the likeliest tokens to note at each place, in `Rollout.tops`."""
    shape: Shape | None = None
    """What makes the distribution that is drawn from; None: the policy's own."""

    def needs(self) -> Needs:
        """What a method that draws like this has to declare."""
        if not (self.stop or self.note or self.tops or self.shape):
            return PLAIN
        wanted = {"stop": self.stop, "tops": self.tops or self.note, "shape": self.shape}
        beside = self.shape.beside if self.shape else ()
        return Needs(engine=tuple(name for name, one in wanted.items() if one), statistics=self.note, policies=beside)


GREEDY = Sampling(temperature=0.0)


class Shape(ABC):
    """A frozen dataclass that makes one next-token distribution of several, inside the engine's own loop.

    Temperature and filters work on what it makes; `Rollout.logprobs` stays what the policy itself says of the tokens.
    """

    beside: ClassVar[tuple[str, ...]] = ()
    """Names of other policies that run in step with the one that draws, on the same tokens; see `Ask.beside`."""

    @abstractmethod
    def apply(self, logprobs: Mapping[str, Any]) -> Any:
        """Log-probabilities (rows, vocabulary) to draw from, as a torch tensor; -inf for what must not be drawn.

        Args:
            logprobs: tensors of the same shape, each row summing to 1 in probability: "" is the policy that draws, the
                others have the names in `beside`.
        """


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request for completions of one prompt; one call of `Engine.draw` takes many, all different if need be.

    A last message of the assistant is the beginning of the completion; its `ids`, where it has them, are the tokens
    that it goes on from.
    """

    checkpoint: Checkpoint
    prompt: Prompt
    """Without its reference answer, see `Prompt.blind`."""
    n: int = 1
    first: int = 0
    """Number of the first sample: 4 from 0 on and 4 from 4 on are the 8 of one call with the same seed."""
    sampling: Sampling = Sampling()
    seed: int = 0
    beside: Mapping[str, Checkpoint] = field(default_factory=dict)
    """The policies that `sampling.shape` names in its `beside`."""


class Log(Protocol):
    """Where a method reports progress and numbers."""

    def progress(self, done: int, total: int, unit: str = "") -> None: ...
    def metric(self, name: str, value: float) -> None: ...
    def note(self, text: str) -> None: ...
