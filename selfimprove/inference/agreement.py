"""Texts and a plain forward pass that every local engine must agree with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.inference.token_scores import Pair, score
from selfimprove.inference.weights import context_of, ends_of, load

TEXTS = (
    *("3+5+8=3+5=8;8+8=6#6", "Question: what is 12 - 7? Answer: 5.", "abc abc abc abc", "1, 2, 3, 4, 5, 6, 7, 8"),
    *("The capital of France is Paris.", "def f(x):\n    return x + 1", "To be, or not to be.", "{'a': [1, 2]}"),
)
"""Texts to check another engine's weights with, each followed by the others."""
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

    def clearly(self, found: Sequence[Sequence[float]], other: Reference) -> bool:
        """Whether an engine's log-probabilities come from this checkpoint and not from the other one.

        Least squares of found = other + t (self - other): t is 1 for this checkpoint, 0 for the other, and the residual
        is the engine's noise, which gives the error of t. The answer is yes if t is above 1/2 by three such errors, or
        if both checkpoints have the same numbers.
        """
        if self.pairs != other.pairs:
            return False
        if self.expected == other.expected:
            return True
        mine, theirs, seen = ([x for row in rows for x in row] for rows in (self.expected, other.expected, found))
        step = [a - b for a, b in zip(mine, theirs, strict=True)]
        moved = [a - b for a, b in zip(seen, theirs, strict=True)]
        length = sum(d * d for d in step)
        t = sum(m * d for m, d in zip(moved, step, strict=True)) / length
        noise = sum((m - t * d) ** 2 for m, d in zip(moved, step, strict=True)) / (len(step) - 1)
        return t - 3 * math.sqrt(noise / length) > 0.5


def reference(path: str, dtype: str) -> Reference:
    """Load a checkpoint, compute the numbers of the fixed texts, and unload it."""
    model, tokenizer = load(path, "auto", dtype)
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
