"""Engines run a checkpoint: draw completions, give log-probabilities, embed texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from selfimprove.errors import RecipeError
from selfimprove.interfaces.requests import Ask, Log, Sampling
from selfimprove.records import (
    Checkpoint,
    Prompt,
    Rollout,
)

ABILITIES = ("stop", "tops", "pattern", "shape", "logprobs", "embed", "copies", "stream", "join", "open")
"""Optional abilities of engines: stop strings; top tokens and statistics recorded while drawing; replies that match a
`Sampling.pattern`; a `Shape`; numbers for given tokens (`logprobs_of`); embeddings; temporary copies of the weights;
tokens that are heard as they are drawn (`Ask.hear`); asks that join while others are being drawn (`draw_coming`); a
last message that stays open (`Message.open`)."""
ROLES = ("propose", "hint", "judge", "refine")
"""Roles for which most tasks have words. A recipe may give them, and those of its methods' own, to another engine; the
trained weights always solve."""


@dataclass
class Engine(ABC):
    """Runs a checkpoint."""

    roles: list[str] = field(default_factory=list, kw_only=True)
    """With a second engine in the recipe: the roles that it answers in, such as propose, hint, judge or refine."""
    portion: ClassVar[int] = 8192
    """Completions per portion. Finished portions survive a kill; batches run empty at the end of each portion."""
    can: ClassVar[frozenset[str]] = frozenset()
    """Its abilities, among `ABILITIES`, besides plain samples; requests that need others are refused in one line."""

    @abstractmethod
    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        """The n completions of each ask. Equal asks give equal completions, whatever else is in the call.

        Raises:
            RecipeError: an ask needs an ability that this engine lacks.
        """

    def sample(
        self, checkpoint: Checkpoint, prompts: Sequence[Prompt], n: int, sampling: Sampling, seed: int, log: Log
    ) -> list[list[Rollout]]:
        """n completions of each prompt with one sampling and seed: a simple call of `draw`; do not override it."""
        asks = [Ask(checkpoint=checkpoint, prompt=one, n=n, sampling=sampling, seed=seed) for one in prompts]
        return self.draw(asks, log)

    @abstractmethod
    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        """A number in nats for each completion token, given the prompt and the tokens before it.

        Args:
            statistic: `logprob` is the token's log-probability; `entropy` and `self_certainty`, which is the divergence
                KL(uniform || distribution), describe the whole next-token distribution. A local engine also has
                `behind`, by how many nats a token is less likely than the likeliest, `token` and `likeliest`, the
                numbers of both in the vocabulary, and `unprompted`, the log-probability of a token where the reply
                alone follows the start token.

        Raises:
            RecipeError: this engine does not have that statistic.
            DataError: it is `unprompted`, and the tokenizer has no start token.
        """

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        """The mean of the last hidden states over the tokens of each text: a numpy array (texts, width) of float32.

        Raises:
            RecipeError: this engine has no embeddings.
        """
        raise RecipeError(f"engine.{type(self).__name__.lower()} has no embeddings: use engine=transformers")

    def draw_coming(
        self, coming: Callable[[], Sequence[Ask]], ended: Callable[[int, list[Rollout]], object], log: Log
    ) -> None:
        """Draw what comes until nothing is left, where asks may come while others are being drawn.

        Args:
            coming: asked between two tokens for the asks that have come since the last time, all of one checkpoint.
            ended: called with the number of an ask, from 0 in the order of their coming, and its completions, which are
                those that `draw` gives.

        Raises:
            RecipeError: this engine takes none while it draws.
        """
        raise RecipeError(f"engine.{type(self).__name__.lower()} takes no asks while it draws: use engine=transformers")

    def certificate(
        self, checkpoint: Checkpoint, problems: Callable[[int], Sequence[Prompt]], log: Log
    ) -> dict[str, Any]:
        """How far it agrees with a plain forward pass in transformers, on problems of the run's own task.

        Asked for once per run, and kept in the step `model`. An engine that is such a forward pass, or has no weights,
        gives an empty one.

        Args:
            problems: gives so many problems, without answers.

        Returns:
            What `inference/agreement.certificate` gives, with the number type and the engine's version.
        """
        return {}

    def longest(self) -> int:
        """Most tokens of a completion if `Sampling` sets no limit: the engine's option of that name, if any."""
        return vars(self).get("max_completion_length", 512)

    def sharing(self) -> int:
        """GPUs that share one copy of the weights."""
        return 1

    def close(self) -> None:
        """Release memory."""

    def preflight(self) -> list[str]:
        """Check before a run that everything the options need is available; returns notes for the user.

        Raises:
            DeviceError: the device is not on this machine.
            UserError: something else is missing.
        """
        return []


@dataclass
class Remote(Engine):
    """An engine whose answers cost money, so that an unfinished step must not lose any."""

    @abstractmethod
    def ask(self, asks: Sequence[Ask], log: Log, answers: MutableMapping[str, Any]) -> list[list[Rollout]]:
        """Like `draw`; each answer is stored in `answers` at once, and stored answers are not requested again.

        Args:
            answers: plain values by name, including those of an earlier attempt at the step.
        """
