"""Texts and a plain forward pass that every local engine must agree with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from selfimprove.inference.rows import rows_of
from selfimprove.inference.token_scores import BEHIND, Pair, score
from selfimprove.inference.weights import context_of, ends_of, load
from selfimprove.records import Rollout

TEXTS = (
    *("3+5+8=3+5=8;8+8=6#6", "Question: what is 12 - 7? Answer: 5.", "abc abc abc abc", "1, 2, 3, 4, 5, 6, 7, 8"),
    *("The capital of France is Paris.", "def f(x):\n    return x + 1", "To be, or not to be.", "{'a': [1, 2]}"),
)
"""Texts to check another engine's weights with, each followed by the others."""
PROMPTS = 64
"""Prompts of a run's own task that its certificate compares."""
TOKENS = 128
"""Most tokens of a completion that it compares."""
LENGTH = 32
"""Tokens per text: 248 numbers in total, short enough for any context."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The properties of a checkpoint that another engine needs, and the numbers that verify it runs there."""

    tokenizer: Any
    ends: list[int]
    """The tokens that end a completion."""
    context: int
    """Most tokens of a prompt with its completion."""
    pairs: list[Pair]
    expected: list[list[float]]
    """The fixed texts in tokens, and their log-probabilities."""

    def difference(self, found: Sequence[Sequence[float]]) -> float:
        """Mean absolute difference to the log-probabilities from another engine, in nats per token."""
        apart = [abs(a - b) for rows in zip(found, self.expected, strict=True) for a, b in zip(*rows, strict=True)]
        return sum(apart) / len(apart)

    def standing(self, found: Sequence[Sequence[float]], last: Served, before: Sequence[Sequence[float]]) -> Standing:
        """Whether an engine's log-probabilities come from this checkpoint or from the one that it ran last.

        Least squares of found = other + t (self - other): t is 1 for this checkpoint, 0 for the other, and the residual
        is the engine's noise, which gives the error of t. Rounding in transformers' numbers draws t to the middle,
        never past it. So three errors above 1/2 is this checkpoint, three below the other one. Between them nothing is
        known, unless the numbers are the very same as before, which those of other weights never are, or the two
        checkpoints are further apart than twice the noise, where the right one would be told.

        Args:
            last: the checkpoint that the engine was last clearly found to run.
            before: its numbers for the weights that it ran before, which are another checkpoint's if changes since
                were too small to be told.
        """
        if self.pairs != last.reference.pairs:
            return Standing.OLD
        if self.expected == last.reference.expected:
            return Standing.NEW
        mine, theirs, seen = (
            [x for row in rows for x in row] for rows in (self.expected, last.reference.expected, found)
        )
        step = [a - b for a, b in zip(mine, theirs, strict=True)]
        moved = [a - b for a, b in zip(seen, theirs, strict=True)]
        length = sum(d * d for d in step)
        t = sum(m * d for m, d in zip(moved, step, strict=True)) / length
        noise = sum((m - t * d) ** 2 for m, d in zip(moved, step, strict=True)) / (len(step) - 1)
        error = 3 * math.sqrt(noise / length)
        if t - error > 0.5:
            return Standing.NEW
        still = all(a == b for rows in zip(found, before, strict=True) for a, b in zip(*rows, strict=True))
        if t + error < 0.5 or still or length > 4 * last.noise:
            return Standing.OLD
        return Standing.NEAR


class Standing(Enum):
    """Which weights an engine runs after a reload, as its numbers show."""

    NEW = auto()
    OLD = auto()
    """Those before, or nobody knows which."""
    NEAR = auto()
    """Others than before, and so near that the noise hides which."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A checkpoint that an engine was clearly found to run, and what it said of the fixed texts."""

    reference: Reference
    found: Sequence[Sequence[float]]

    @property
    def noise(self) -> float:
        """Sum of the squared differences to transformers."""
        rows = zip(self.found, self.reference.expected, strict=True)
        return sum((a - b) ** 2 for row in rows for a, b in zip(*row, strict=True))


@dataclass
class Agreed:
    """What an engine's numbers have shown so far."""

    told: Served | None = None
    """The checkpoint that it was last clearly found to run."""
    found: Sequence[Sequence[float]] = ()
    """Its numbers for the weights that it runs."""
    difference: float = 0.0
    """Their mean difference to transformers."""

    def take(self, known: Reference, found: Sequence[Sequence[float]], anew: bool) -> Standing:
        """Which weights it runs, by its numbers for those of `known`, after a reload or in a new process."""
        standing = Standing.NEW if anew or self.told is None else known.standing(found, self.told, self.found)
        if standing is Standing.NEW:
            self.told = Served(reference=known, found=found)
        self.found, self.difference = found, known.difference(found)
        return standing

    def doubt(self, standing: Standing, bound: float) -> str:
        """Why it may not run the weights last asked for, in words; "" if it does."""
        if not self.difference <= bound:
            return f"vLLM differs by {self.difference:.3g} nats a token from transformers"
        return "vLLM's numbers do not tell the new weights from those before" if standing is Standing.OLD else ""


def reference(path: str, dtype: str, device: str = "auto") -> Reference:
    """Load a checkpoint, compute the numbers of the fixed texts, and unload it.

    Args:
        device: as `weights.load` takes it.
    """
    model, tokenizer = load(path, device, dtype)
    turned = [" ".join((*TEXTS[i:], *TEXTS[:i])) for i in range(len(TEXTS))]  # rotated, for more tokens
    lines = tokenizer(turned, add_special_tokens=False)["input_ids"]
    pairs = [(line[:1], line[1:LENGTH]) for line in lines]
    return Reference(
        tokenizer=tokenizer,
        ends=ends_of(model, tokenizer),
        context=context_of(model),
        pairs=pairs,
        expected=score(model, pairs, "logprob", len(pairs)),
    )


def certificate(model: Any, tokenizer: Any, rollouts: Sequence[Rollout]) -> dict[str, Any]:
    """How far an engine's greedy completions agree with a plain forward pass of the same weights.

    A completion whose every token is the likeliest one after those before it is the greedy text of that model, so one
    pass over the engine's completions tells whether the texts are equal.

    Args:
        rollouts: one greedy completion for each prompt, with `logprob` noted.
    """
    both = zip(rows_of(tokenizer, rollouts), (rollout.noted["logprob"] for rollout in rollouts), strict=True)
    rows, said = [], []
    for [row], numbers in both:
        if len(row.completion) == len(numbers):  # the tiny model's messages do not keep a `<pad>` that was drawn
            rows.append(row)
            said.append(numbers)
    pairs = [(row.prompt, row.completion) for row in rows]
    numbers, behind = (score(model, pairs, name, max(1, len(pairs))) for name in ("logprob", BEHIND))
    apart = [abs(a - b) for both in zip(numbers, said, strict=True) for a, b in zip(*both, strict=True)]
    return {
        "prompts": len(rows),
        "same_texts": sum(not any(row) for row in behind),
        "tokens": len(apart),
        "same_tokens": sum(gap == 0 for row in behind for gap in row),
        "mean_difference": sum(apart) / max(1, len(apart)),
        "largest_difference": max(apart, default=0.0),
        "furthest_behind": max((gap for row in behind for gap in row), default=0.0),
    }
