"""Choose the next token: reproducible uniform numbers, and the inverse of the cumulative distribution."""

from __future__ import annotations

import hashlib
from typing import Any

from selfimprove.interfaces import Sampling


def uniforms(seed: int, prompt: tuple[int, ...], rows: int, length: int) -> Any:
    """(rows, length) numbers in [0, 1) that depend on the seed and the prompt only."""
    import numpy

    key = hashlib.sha256(f"{seed}:{prompt}".encode()).digest()
    generator = numpy.random.Generator(numpy.random.Philox(key=int.from_bytes(key[:16], "big")))
    return generator.random((rows, length), dtype=numpy.float32)


def draw(logits: Any, sampling: Sampling, uniform: Any) -> Any:
    """One token for each row: filter as vLLM and transformers do, then invert the cumulative distribution."""
    import torch

    probabilities = (logits / sampling.temperature).softmax(-1)
    if sampling.top_k or sampling.top_p < 1 or sampling.min_p > 0:
        ordered, index = probabilities.sort(-1, descending=True)
        if sampling.top_k:
            ordered[:, sampling.top_k :] = 0.0
        drop = ordered < sampling.min_p * ordered[:, :1]
        if sampling.top_p < 1:  # relative to the tokens left by top_k
            sofar = _running(ordered)
            drop |= sofar - ordered >= sampling.top_p * sofar[:, -1:]
        probabilities = probabilities.scatter(-1, index, ordered.masked_fill(drop, 0.0))
    cumulative = _running(probabilities)
    total = cumulative[:, -1:].contiguous()
    chosen = torch.searchsorted(cumulative, uniform[:, None] * total, right=True)
    return torch.minimum(chosen, torch.searchsorted(cumulative, total))[:, 0]  # rounding must not reach a dropped token


def _running(probabilities: Any) -> Any:
    """The cumulative sums of a row's probabilities.

    A GPU adds in parallel in no fixed order, so float sums may decrease, and a search may end at a token with
    probability 0; torch also refuses them with deterministic algorithms. Integer sums are the same in any order.
    """
    if not probabilities.is_cuda:
        return probabilities.cumsum(-1)
    return (probabilities * 2.0**60).long().cumsum(-1).double() / 2.0**60
