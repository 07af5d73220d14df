"""Choose the next token: reproducible uniform numbers, and the inverse of the cumulative distribution."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from selfimprove.interfaces import Sampling

if TYPE_CHECKING:
    from selfimprove.inference.decoding import Row

FIRST = 64
"""Most likely tokens to look at first; the nucleus of a trained model rarely has more."""
TIES = 16
"""Tokens to look at beyond the first `top_k`, because in 16 bits some are as likely as the last of these."""
GROWTH = 8
"""How many times more tokens to look at where those were not enough."""
BLOCK = 64
"""Tokens of a block: the most likely tokens lie in the blocks with the largest maxima."""
PIECE = {"cpu": 1 << 22, "cuda": 1 << 26}
"""Probabilities to choose from at once. A row of a published vocabulary has 30,000 to 260,000 of them, and the steps
below hold several copies; on a CPU small pieces also stay in its caches."""


def uniforms(seed: int, prompt: tuple[int, ...], rows: int, length: int) -> Any:
    """(rows, length) numbers in [0, 1) that depend on the seed and the prompt only."""
    import numpy

    key = hashlib.sha256(f"{seed}:{prompt}".encode()).digest()
    generator = numpy.random.Generator(numpy.random.Philox(key=int.from_bytes(key[:16], "big")))
    return generator.random((rows, length), dtype=numpy.float32)


def of_rows(rows: Sequence[Row], longest: int) -> Any:
    """Uniform numbers (rows, longest); those of a row depend on its prompt, seed and number."""
    import numpy

    numbers = numpy.zeros((len(rows), longest), dtype=numpy.float32)
    parts: dict[tuple[Any, ...], list[int]] = {}
    for i, row in enumerate(rows):
        if row.sampling.temperature > 0:
            parts.setdefault((row.seed, row.prompt, row.limit), []).append(i)
    for (seed, prompt, limit), places in parts.items():
        samples = [rows[i].sample for i in places]
        made = uniforms(seed, prompt, max(samples) + 1, limit)
        numbers[places, : min(limit, longest)] = made[samples, :longest]
    return numbers


def pieces(rows: int, vocabulary: int, device: str) -> Iterator[slice]:
    """Slices of the rows of a batch that are chosen for together. What a row gets does not depend on its piece."""
    size = max(1, PIECE.get(device, PIECE["cuda"]) // vocabulary)
    return (slice(start, start + size) for start in range(0, rows, size))


def draw(logits: Any, sampling: Sampling, uniform: Any) -> Any:
    """One token for each row: filter as vLLM and transformers do, then invert the cumulative distribution.

    A filter keeps the tokens from some probability up, so tokens of equal probability stay or go together, in whatever
    order a device sorts them. The most likely token always stays.
    """
    if sampling.top_k:
        return _filtered(logits, sampling, uniform, sampling.top_k + TIES)
    probabilities = (logits / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        return _filtered(probabilities, sampling, uniform, FIRST)
    if sampling.min_p > 0:
        lowest = min(sampling.min_p, 1.0) * probabilities.amax(-1, keepdim=True)
        probabilities = probabilities.masked_fill(probabilities < lowest, 0.0)
    return _inverted(probabilities, uniform)


def _filtered(numbers: Any, sampling: Sampling, uniform: Any, count: int) -> Any:
    """A token of each row after the filters, which see the `count` most likely tokens, or more where they have to.

    Sorting a vocabulary of 150,000 tokens takes as long as 100 searches for the 40 most likely ones.

    Args:
        numbers: (rows, vocabulary), logits with `top_k`, where other tokens do not count, else probabilities.
    """
    vocabulary = numbers.shape[-1]
    if count * GROWTH > vocabulary:
        numbers = (numbers / sampling.temperature).softmax(-1) if sampling.top_k else numbers
        lowest, _ = _lowest(numbers.sort(-1, descending=True).values, sampling)
        return _inverted(numbers.masked_fill(numbers < lowest, 0.0), uniform)
    ordered, tokens = _largest(numbers, count)
    ordered = (ordered / sampling.temperature).softmax(-1) if sampling.top_k else ordered
    lowest, enough = _lowest(ordered, sampling)
    tokens, order = tokens.sort(-1)
    kept = ordered.masked_fill(ordered < lowest, 0.0).gather(-1, order)
    chosen = tokens.gather(-1, _inverted(kept, uniform)[:, None])[:, 0]
    if not bool(enough.all()):
        rest = ~enough
        chosen[rest] = _filtered(numbers[rest], sampling, uniform[rest], count * GROWTH)
    return chosen


def _lowest(ordered: Any, sampling: Sampling) -> tuple[Any, Any]:
    """The lowest probability that the filters keep in each row (rows, 1), and whether no token beyond these counts.

    Args:
        ordered: (rows, count), the largest probabilities of each row, by falling probability.
    """
    top, last, left = ordered[:, :1], ordered[:, -1:], ordered
    lowest = edge = sampling.min_p * top
    if sampling.top_k:
        edge = ordered[:, min(sampling.top_k, ordered.shape[-1]) - 1, None]
        lowest = lowest.maximum(edge)
    if sampling.top_p < 1:
        if sampling.top_k:  # the nucleus is a share of what top_k leaves
            left = ordered.masked_fill(ordered < edge, 0.0)
        sofar = _running(left)
        share = sampling.top_p * sofar[:, -1:] if sampling.top_k else sampling.top_p
        lowest = lowest.maximum(left.masked_fill(sofar - left >= share, 1.0).amin(-1, keepdim=True))
    lowest = lowest.minimum(top)
    return lowest, ((last < (edge if sampling.top_k else lowest)) | (last == 0))[:, 0]


def _largest(numbers: Any, count: int) -> tuple[Any, Any]:
    """The `count` largest numbers of each row and their tokens, the largest first."""
    import torch

    rows, vocabulary = numbers.shape
    blocks = vocabulary // BLOCK
    if 4 * count >= blocks:
        return numbers.topk(count)
    by_block = numbers[:, : blocks * BLOCK].unflatten(-1, (blocks, BLOCK))
    best = by_block.amax(-1).topk(count).indices
    values = by_block.gather(1, best[..., None].expand(-1, -1, BLOCK)).flatten(1)
    tokens = (best[..., None] * BLOCK + torch.arange(BLOCK, device=best.device)).flatten(1)
    after = torch.arange(blocks * BLOCK, vocabulary, device=best.device)
    values = torch.cat([values, numbers[:, blocks * BLOCK :]], -1)
    tokens = torch.cat([tokens, after.expand(rows, -1)], -1)
    largest, places = values.topk(count)
    return largest, tokens.gather(-1, places)


def _inverted(probabilities: Any, uniform: Any) -> Any:
    """The place in each row where its cumulative sum passes the uniform number's share of the whole."""
    import torch

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


def fitted(logits: Any, size: int) -> Any:
    """Log-probabilities over the first `size` tokens: matrices of one family are padded to different lengths."""
    import torch

    logprobs = logits[:, :size].float().log_softmax(-1)
    return torch.nn.functional.pad(logprobs, (0, size - logprobs.shape[-1]), value=-torch.inf)
