"""Batched decoding with a transformers model that does equal work once: used by the transformers engine.

A prompt is prefilled once for all of its samples, the cache lies in preallocated memory, rows that have ended leave the
batch. Each token is drawn by inverting the cumulative distribution at a uniform number that depends on (seed, prompt,
sample, position) only, so a completion does not depend on its neighbours in the batch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from selfimprove.errors import DataError, EngineError
from selfimprove.inference.weights import context_of, ends_of
from selfimprove.interfaces import Sampling

GROWTH = 16
"""Positions by which the cache grows at least when it is full; a quarter of its length where that is more."""


@dataclass
class Draw:
    """One completion: its tokens without the end token, log-probability in nats, and tokens drawn."""

    tokens: list[int]
    logprob: float
    count: int
    end: int | None
    """The end token; None: it ran into the limit."""


def _uniforms(seed: int, prompt: tuple[int, ...], rows: int, length: int) -> Any:
    """(rows, length) numbers in [0, 1) that depend on the seed and the prompt only."""
    import numpy

    key = hashlib.sha256(f"{seed}:{prompt}".encode()).digest()
    generator = numpy.random.Generator(numpy.random.Philox(key=int.from_bytes(key[:16], "big")))
    return generator.random((rows, length), dtype=numpy.float32)


def decode(
    model: Any,
    tokenizer: Any,
    batch: list[tuple[int, ...]],
    rows: int,
    sampling: Sampling,
    limit: int,
    seed: int,
    first: int = 0,
) -> list[list[Draw]]:
    """Draw `rows` completions of each prompt of a batch.

    Args:
        batch: token ids of each prompt; best of nearly equal lengths, because shorter ones are padded on the left.
        limit: tokens per completion, unless `sampling` has its own limit.
        first: the number of the first sample; those before it were drawn by another call.

    Raises:
        DataError: a prompt leaves no room in the model's context.
    """
    import numpy
    import torch

    device = model.device
    width = max(len(prompt) for prompt in batch)
    asked, context = sampling.max_completion_length or limit, context_of(model)
    if width >= context:
        raise DataError(f"a prompt of {width} tokens fills the model's context of {context}")
    room = [min(asked, context - len(prompt)) for prompt in batch]
    longest = max(room)
    stops = torch.tensor(ends_of(model, tokenizer), device=device)
    padding = torch.tensor([width - len(prompt) for prompt in batch], device=device)
    tokens = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in batch], device=device)
    uniforms = None
    if sampling.temperature > 0:
        uniforms = torch.from_numpy(
            numpy.concatenate([_uniforms(seed, prompt, first + rows, asked)[first:] for prompt in batch])
        ).to(device)

    with torch.inference_mode():
        logits, cache = _prefill(model, tokens, padding, rows, longest)
        padding = padding.repeat_interleave(rows)
        ends_at = torch.tensor(room, device=device).repeat_interleave(rows)
        alive = torch.arange(len(batch) * rows, device=device)
        done = torch.zeros(len(alive), dtype=torch.bool, device=device)
        out = torch.full((len(alive), longest), -1, device=device)
        logprob = torch.zeros(len(alive), device=device)
        for position in range(longest):
            logprobs = logits.float().log_softmax(-1)
            if uniforms is None:
                chosen = logprobs.argmax(-1)
            else:
                chosen = _draw(logits.float(), sampling, uniforms[alive, position])
            keep = ~done
            out[alive[keep], position] = chosen[keep]
            logprob[alive[keep]] += logprobs.gather(-1, chosen[:, None])[keep, 0]
            done |= torch.isin(chosen, stops) | (ends_at == position + 1)
            if position + 1 == longest or bool(done.all()):
                break
            if int(done.sum()) * 2 >= len(done):
                rest = (~done).nonzero()[:, 0]
                cache.select(rest)
                alive, chosen, padding, done = alive[rest], chosen[rest], padding[rest], done[rest]
                ends_at = ends_at[rest]
            logits = cache.step(model, chosen, padding)

    groups: list[list[Draw]] = [[] for _ in batch]
    stop_ids = set(stops.tolist())
    for row, (line, total) in enumerate(zip(out.tolist(), logprob.tolist(), strict=True)):
        count = line.index(-1) if -1 in line else longest
        ended = count > 0 and line[count - 1] in stop_ids
        kept = line[: count - 1] if ended else line[:count]
        groups[row // rows].append(Draw(kept, total, count, line[count - 1] if ended else None))
    return groups


def _draw(logits: Any, sampling: Sampling, uniform: Any) -> Any:
    """One token for each row: filter as vLLM and transformers do, then invert the cumulative distribution."""
    import torch

    probabilities = (logits / sampling.temperature).softmax(-1)
    if sampling.top_k or sampling.top_p < 1 or sampling.min_p > 0:
        ordered, index = probabilities.sort(-1, descending=True)
        if sampling.top_k:
            ordered[:, sampling.top_k :] = 0.0
        drop = ordered < sampling.min_p * ordered[:, :1]
        if sampling.top_p < 1:  # a share of what top_k has left
            sofar = _running(ordered)
            drop |= sofar - ordered >= sampling.top_p * sofar[:, -1:]
        probabilities = probabilities.scatter(-1, index, ordered.masked_fill(drop, 0.0))
    cumulative = _running(probabilities)
    total = cumulative[:, -1:].contiguous()
    chosen = torch.searchsorted(cumulative, uniform[:, None] * total, right=True)
    return torch.minimum(chosen, torch.searchsorted(cumulative, total))[:, 0]  # rounding must not reach a dropped token


def _running(probabilities: Any) -> Any:
    """The sum of a row's probabilities up to each token.

    A GPU adds in parallel: sums of floats would come in no fixed order and fall here and there, where a search can end
    at a token of probability 0, and torch refuses them where it is held to deterministic algorithms. Whole numbers add
    up to the same in any order.
    """
    if not probabilities.is_cuda:
        return probabilities.cumsum(-1)
    return (probabilities * 2.0**60).long().cumsum(-1).double() / 2.0**60


class _Cache:
    """Keys and values of a batch in preallocated memory that grows in blocks, up to a limit, and can drop rows.

    Models with other than plain full attention keep their own dynamic cache. So do those that do not attend by plain
    `sdpa`: their own code makes what it needs of a mask, as biases or as numbers to add.
    """

    def __init__(self, past: Any, config: Any, length: int, limit: int) -> None:
        self.length, self.limit = length, limit
        static = _static(past, config, length, min(length + GROWTH, limit))
        self.static = static is not None
        self.cache: Any = static if self.static else past

    def select(self, rows: Any) -> None:
        for layer in self.cache.layers:
            if self.static:
                layer.keys, layer.values = layer.keys[rows], layer.values[rows]
                layer.batch_size = len(rows)
            else:
                layer.batch_select_indices(rows)

    def step(self, model: Any, tokens: Any, padding: Any) -> Any:
        """The logits after one more token in every row."""
        import torch

        if self.static and self.length == self.cache.layers[0].max_cache_len:
            growth = min(max(GROWTH, self.length // 4), self.limit - self.length)
            for layer in self.cache.layers:
                layer.keys = torch.nn.functional.pad(layer.keys, (0, 0, 0, growth))
                layer.values = torch.nn.functional.pad(layer.values, (0, 0, 0, growth))
                layer.max_cache_len += growth
        width = self.cache.layers[0].max_cache_len if self.static else self.length + 1
        places = torch.arange(width, device=tokens.device)
        mask = places <= self.length
        mask = (mask & (places >= padding[:, None]))[:, None, None] if bool(padding.any()) else mask[None, None, None]
        # Rows that have ended go on until they leave the batch, perhaps beyond the context.
        places_of_tokens = (self.length - padding).clamp(max=context_of(model) - 1)
        logits = model(
            input_ids=tokens[:, None],
            attention_mask=mask if self.static else mask.expand(len(tokens), 1, 1, width)[:, 0, 0].long(),
            position_ids=places_of_tokens[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]
        self.length += 1
        return logits


def _static(past: Any, config: Any, length: int, room: int) -> Any:
    """A preallocated cache of `room` positions with what the dynamic one holds; None for a model that has to keep that.

    Under autocast it is of autocast's number type: that is what attention computes with, and keys that were rotated in
    float32 come beside values that were not.
    """
    import torch
    from transformers import StaticCache
    from transformers.cache_utils import DynamicLayer, StaticLayer

    class Layer(StaticLayer):
        """Takes keys and values of any number type."""

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> Any:
            return super().update(key_states.to(self.dtype), value_states.to(self.dtype), *args, **kwargs)

    biased = config._attn_implementation != "sdpa" or getattr(config, "alibi", False)  # the second is Falcon's
    if biased or any(type(layer) is not DynamicLayer for layer in past.layers):
        return None
    cache: Any = StaticCache(config=config, max_cache_len=room)
    if any(type(layer) is not StaticLayer for layer in cache.layers):
        return None
    layers: list[Any] = [Layer(room) for _ in cache.layers]
    for new, old in zip(layers, past.layers, strict=True):
        device, kind = old.keys.device.type, old.keys.dtype
        if torch.is_autocast_enabled(device):
            kind = torch.get_autocast_dtype(device)
        new.lazy_initialization(old.keys.to(kind), old.values.to(kind))
        new.keys[:, :, :length] = old.keys
        new.values[:, :, :length] = old.values
        new.cumulative_length.fill_(length)
    cache.layers = layers
    return cache


def _prefill(model: Any, tokens: Any, padding: Any, rows: int, longest: int) -> tuple[Any, _Cache]:
    """The next-token logits and the cache of each prompt, repeated for its samples, with room for `longest` tokens."""
    import torch

    width = tokens.shape[1]
    places = torch.arange(width, device=tokens.device)
    positions = (places[None] - padding[:, None]).clamp(min=0)
    result = model(
        input_ids=tokens,
        attention_mask=(places >= padding[:, None]).long(),
        position_ids=positions,
        use_cache=True,
        logits_to_keep=1,
    )
    past: Any = getattr(result, "past_key_values", None)
    if not all(hasattr(layer, "batch_repeat_interleave") for layer in getattr(past, "layers", [None])):
        kind = model.config.model_type
        raise EngineError(f"models of type {kind} keep a state that this engine cannot copy; use another engine")
    past.batch_repeat_interleave(rows)
    return result.logits[:, -1].repeat_interleave(rows, 0), _Cache(past, model.config, width, width + longest)
