"""Requests to an engine: sampling, weights, and the log for progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from selfimprove.needs import Needs
from selfimprove.records import (
    Checkpoint,
    Prompt,
)

PLAIN = Needs()
REQUIRED: Any = "???"
"""The default of a required option, in OmegaConf's notation."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to draw completions; the names are vLLM's and TRL's. Temperature 0 is greedy."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    max_completion_length: int | None = None
    """Most tokens per completion; None uses the engine's limit."""
    stop: tuple[str, ...] = ()
    """Strings that end a completion, with the token that completes one; text and ids keep that token."""
    note: tuple[str, ...] = ()
    """Statistics to record for each token while drawing, in `Rollout.noted`, by their names in `Engine.logprobs_of`. An
    engine leaves out those that would need another forward pass."""
    tops: int = 0
    """Number of top tokens to record at each position, in `Rollout.tops`."""
    pattern: tuple[str, ...] = ()
    """What the reply must match: ("regex", EXPRESSION), ("choice", TEXT, TEXT, ...) or ("json", SCHEMA)."""
    shape: Shape | None = None
    """Makes the distribution to draw from; None means the policy's own."""

    def needs(self) -> Needs:
        """The needs that a method with this sampling must declare."""
        if not (self.stop or self.note or self.tops or self.shape or self.pattern):
            return PLAIN
        wanted = {"stop": self.stop, "tops": self.tops or self.note, "pattern": self.pattern, "shape": self.shape}
        beside = self.shape.beside if self.shape else ()
        return Needs(engine=tuple(name for name, one in wanted.items() if one), statistics=self.note, policies=beside)


GREEDY = Sampling(temperature=0.0)


def numbered(samplings: Sequence[Sampling]) -> list[int]:
    """A number for each sampling, the same for equal ones. A call has thousands of them, mostly one object."""
    equal, known = dict[Sampling, int](), dict[int, int]()
    for sampling in samplings:
        if id(sampling) not in known:
            known[id(sampling)] = equal.setdefault(sampling, len(equal))
    return [known[id(sampling)] for sampling in samplings]


class Shape(ABC):
    """A frozen dataclass that combines next-token distributions inside the engine's own loop.

    Temperature and filters apply to its result; `Rollout.logprobs` stays that of the policy itself.
    """

    @property
    def beside(self) -> tuple[str, ...]:
        """Names of other policies that run in step with the drawing one, on the same tokens; see `Ask.beside`."""
        return ()

    @property
    def layers(self) -> str | tuple[int, ...]:
        """Early layers whose distributions it needs as well, by number from 1, or the `low` or the `high` ones of the
        model; see `inference.early_layers`."""
        return ()

    @abstractmethod
    def apply(self, logprobs: Mapping[str, Any]) -> Any:
        """Log-probabilities to draw from, a torch tensor (rows, vocabulary); -inf excludes a token.

        Args:
            logprobs: tensors of the same shape, normalized per row: "" is the policy that draws, the others have the
                names in `beside`; `layer 2` is what its second layer alone would say, if `layers` asks for it.
        """


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request for completions of one prompt; one call of `Engine.draw` takes many different ones.

    A last message of the assistant is a prefilled completion; its `ids`, if it has any, are the tokens to continue
    from.
    """

    checkpoint: Checkpoint
    prompt: Prompt
    """Without its reference answer, see `Prompt.blind`."""
    n: int = 1
    first: int = 0
    """Number of the first sample: 4 samples from 0 and 4 from 4 equal the 8 of one call with the same seed."""
    sampling: Sampling = Sampling()
    seed: int = 0
    beside: Mapping[str, Checkpoint] = field(default_factory=dict)
    """The policies that `sampling.shape` names in its `beside`."""
    hear: Callable[[int, int], object] | None = field(default=None, compare=False, repr=False)
    """Called with place and token as the first completion is drawn, without its end token; a batch that begins again
    repeats them. Engines with the ability `stream` call it."""


class Log(Protocol):
    """Where a method reports progress and numbers."""

    def progress(self, done: int, total: int, unit: str = "") -> None: ...
    def metric(self, name: str, value: float) -> None: ...
    def note(self, text: str) -> None: ...
