"""What can run a checkpoint: draw completions, give log-probabilities, embed texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from selfimprove.errors import RecipeError
from selfimprove.interfaces.requests import Ask, Log, Sampling
from selfimprove.records import (
    Checkpoint,
    Prompt,
    Rollout,
)

ABILITIES = ("stop", "tops", "shape", "logprobs", "embed", "copies")
"""What engines differ in: stop strings; the likeliest tokens and statistics noted while drawing; a `Shape`; numbers for
given tokens (`logprobs_of`); embeddings; weights that were made a moment ago."""
ROLES = ("propose", "hint", "judge", "refine")
"""Roles that a recipe may give to another engine than the one that runs the weights; who solves is what is trained."""


@dataclass
class Engine(ABC):
    """Something that can run a checkpoint."""

    roles: list[str] = field(default_factory=list, kw_only=True)
    """With a second engine in the recipe: roles that this one answers in, of propose, hint, judge and refine."""
    portion: ClassVar[int] = 8192
    """Completions asked for at a time: after each portion they are safe from a kill, and the batches run empty once."""
    can: ClassVar[frozenset[str]] = frozenset()
    """What it has beside plain samples, of `ABILITIES`; what is asked for beside that is refused in one line."""

    @abstractmethod
    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        """The n completions of each ask. Equal asks give equal completions, whatever else is in the call.

        Raises:
            RecipeError: an ask needs what this engine does not have.
        """

    def sample(
        self, checkpoint: Checkpoint, prompts: Sequence[Prompt], n: int, sampling: Sampling, seed: int, log: Log
    ) -> list[list[Rollout]]:
        """n completions of each prompt, all drawn in one way: a plain call of `draw`, which no engine overrides."""
        asks = [Ask(checkpoint=checkpoint, prompt=one, n=n, sampling=sampling, seed=seed) for one in prompts]
        return self.draw(asks, log)

    @abstractmethod
    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        """A number in nats for each completion token, given the prompt and the tokens before it.

        Args:
            statistic: `logprob` is the token's log-probability; of the whole next-token distribution, `entropy`, or
                `self_certainty`: the divergence KL(uniform || distribution).

        Raises:
            RecipeError: this engine does not have that statistic.
        """

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        """The mean of the last hidden states over the tokens of each text: a numpy array (texts, width) of float32.

        Raises:
            RecipeError: this engine has no embeddings.
        """
        raise RecipeError(f"engine.{type(self).__name__.lower()} has no embeddings: use engine=transformers")

    def longest(self) -> int:
        """Tokens of a completion at most where `Sampling` leaves it to the engine: its option of that name, if any."""
        return vars(self).get("max_completion_length", 512)

    def sharing(self) -> int:
        """GPUs that share one copy of the weights."""
        return 1

    def close(self) -> None:
        """Give memory back."""

    def preflight(self) -> list[str]:
        """Look for what the options need, before a run begins; remarks on it that a user should see.

        Raises:
            DeviceError: the device is not on this machine.
            UserError: something else is not there.
        """
        return []


@dataclass
class Remote(Engine):
    """An engine that pays for each answer, so that none may be lost with a step that does not come to its end."""

    @abstractmethod
    def ask(self, asks: Sequence[Ask], log: Log, answers: MutableMapping[str, Any]) -> list[list[Rollout]]:
        """What `draw` gives; each answer is in `answers` as soon as it came, and one that is there is not asked for.

        Args:
            answers: plain values by name, with those of a former attempt at the step; kept until the step is done.
        """
