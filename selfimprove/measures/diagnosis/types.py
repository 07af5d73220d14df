"""The types of a diagnosis: measures of one model's samples, each with its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion, reduced to what a diagnosis uses."""

    right: bool
    answer: str | None
    """The final answer, or None if it cannot be read."""
    score: float | None = None
    """Mean log-probability of a token, in nats; None if the engine does not give it."""
    length: int = 0
    """Tokens."""
    truncated: bool = False
    reward: float | None = None
    """The recipe's reward, or None."""


Groups = Sequence[Sequence[Sample]]
"""Samples by prompt."""
Scores = Sequence[Sequence[float | None]]
"""A score of each sample; None where it could not be scored."""


@dataclass(frozen=True)
class Estimate:
    """A number with its bootstrap standard error, its 95 % percentile interval, and its number of prompts."""

    value: float
    error: float
    low: float
    high: float
    n: int

    def above(self, bound: float) -> bool:
        """More than two standard errors above a bound."""
        return self.value - 2 * self.error > bound

    def below(self, bound: float) -> bool:
        """More than two standard errors below a bound."""
        return self.value + 2 * self.error < bound

    def __str__(self) -> str:
        return f"{self.value:.3f} ±{self.error:.3f}"


@dataclass(frozen=True)
class Ladder:
    """Accuracy with k completions, chosen among by chance, by the model itself, or by the reference answer."""

    k: int
    single: Estimate
    """pass@1: chance chooses."""
    majority: Estimate
    """maj@k."""
    best: dict[str, Estimate]
    """best-of-k by each score of the model's own: `votes`, `logprob`."""
    any: Estimate
    """pass@k: the reference chooses."""
    consensus: Estimate
    """maj@k - pass@1: what training on majorities can gain."""
    judged: dict[str, Estimate]
    """best-of-k - pass@1: what the model's own score can gain."""
    oracle: Estimate
    """pass@k - pass@1: what a true reward can gain."""
    efficiency: dict[str, Estimate | None]
    """(best-of-k - pass@1) / (pass@k - pass@1); None if a true reward gains nothing."""


@dataclass(frozen=True)
class Gap:
    """The generation-verification gap: accuracy of what a filter keeps, less accuracy of everything."""

    absolute: Estimate
    relative: Estimate | None
    """Mean over prompts of gap / (1 - accuracy); prompts that are always solved are left out."""
    overall: Estimate | None
    """Mean gap / (1 - mean accuracy), which single prompts cannot dominate."""
    idle: float
    """Share of prompts where the filter keeps nothing, which count unfiltered."""


@dataclass(frozen=True)
class Score:
    """How well a score tells right from wrong: one of the model's own scores, or the recipe's reward."""

    name: str
    """`votes`, `logprob` or `reward`."""
    gap: Gap
    auroc: Estimate | None
    """P(score of a right completion > score of a wrong one of the same prompt); None where no prompt has both."""
    thresholds: tuple[float, ...]
    """Lowest score that the filter keeps; of a tuned one, for prompts in even and in odd places."""

    @property
    def possible(self) -> bool:
        """Whether training on what the score keeps can help."""
        return self.gap.absolute.above(0) and self.auroc is not None and self.auroc.above(0.5)


@dataclass(frozen=True)
class Labels:
    """How often the majority of k completions is right on the prompts that a filter by agreement keeps."""

    k: int
    agreement: float
    kept: Estimate
    accuracy: Estimate | None


@dataclass(frozen=True)
class Sharpening:
    """What the model would gain by always giving its most likely completion (of those that were drawn)."""

    coverage: float
    """log10 of C_cov = mean 1 / p(most likely completion): the samples per prompt that its route by SFT needs."""
    probability: Estimate
    accuracy: Estimate
    gain: Estimate
    """Accuracy of the most likely completion, less pass@1."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All measures of one model."""

    problems: int
    samples: int
    """Completions of each prompt; the least, where they differ."""
    ladders: list[Ladder]
    """For growing k; the last is for k = samples."""
    greedy: Estimate | None
    length: Estimate
    truncated: Estimate
    parsed: Estimate
    unsolved: Estimate
    """Prompts without a right completion."""
    answer_entropy: Estimate
    """Entropy in nats of the answers to a prompt."""
    majority: Estimate
    """Share of a prompt's completions that have its most frequent answer."""
    token_entropy: Estimate | None
    """Mean -log p of the drawn tokens, in nats: an unbiased estimate of their entropy at temperature 1."""
    reward: Estimate | None
    """Of the completions that the recipe's reward could score."""
    top_answer: tuple[str, float] | None
    """The most frequent answer to all prompts together, and its share."""
    scores: list[Score]
    """Of the model's own, and the recipe's reward where there is one."""
    labels: list[Labels]
    """For the k of each ladder, with a filter by AGREEMENT, and last without a filter for the largest k."""
    beyond: Estimate | None
    """maj@k - greedy accuracy, for the largest k: what a majority knows that the likeliest answer does not say. Without
    greedy completions the most likely ones that were drawn stand in."""
    sharpening: Sharpening | None
    groups: Groups = field(repr=False)
    keys: tuple[str, ...] = field(repr=False)
    """Names of the prompts: models with equal keys are compared prompt by prompt."""

    @property
    def ladder(self) -> Ladder:
        """The ladder for the largest k."""
        return self.ladders[-1]
