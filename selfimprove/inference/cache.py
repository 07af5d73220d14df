"""The key-value cache of a batch in decoding, and the prefill of prompts; used by `decoding`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.errors import EngineError
from selfimprove.inference.weights import context_of

GROWTH = 16
"""Positions to add when the cache is full, or a quarter of its length if that is more."""


class Cache:
    """Keys and values of a batch in preallocated memory that grows in blocks, up to a limit, and can drop rows.

    Models without plain full attention keep their own dynamic cache. So do models without plain `sdpa` attention,
    because their code converts masks into biases or additive numbers.
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
            self._grow(min(max(GROWTH, self.length // 4), self.limit - self.length))
        width = self.cache.layers[0].max_cache_len if self.static else self.length + 1
        places = torch.arange(width, device=tokens.device)
        mask = places <= self.length
        mask = (mask & (places >= padding[:, None]))[:, None, None] if bool(padding.any()) else mask[None, None, None]
        # Ended rows continue until they leave the batch, perhaps beyond the context.
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

    def block(self, model: Any, tokens: Any, seen: Any, positions: Any) -> Any:
        """The logits after each of several more tokens in every row, (rows, tokens, vocabulary); static caches only.

        Args:
            tokens: (rows, tokens).
            seen: (rows, length), which of the cached places belong to a row; the new ones see those before them.
            positions: (rows, tokens), the place of each token in its text.
        """
        import torch

        count = tokens.shape[1]
        if self.length + count > self.cache.layers[0].max_cache_len:
            self._grow(max(GROWTH, count, self.length // 4))
        width = self.cache.layers[0].max_cache_len
        places = torch.arange(width, device=tokens.device)
        new = (places >= self.length) & (places - self.length <= torch.arange(count, device=tokens.device)[:, None])
        old = torch.nn.functional.pad(seen, (0, width - self.length))
        logits = model(
            input_ids=tokens,
            attention_mask=(old[:, None] | new)[:, None],
            position_ids=positions.clamp(max=context_of(model) - 1),
            past_key_values=self.cache,
            use_cache=True,
        ).logits
        self.length += count
        return logits

    def pack(self, seen: Any) -> Any:
        """Move what belongs to each row together and forget the rest; returns `seen` of what is kept."""
        order = (~seen).int().argsort(dim=-1, stable=True)
        self.length = int(seen.sum(-1).max())
        for layer in self.cache.layers:
            for name in ("keys", "values"):
                part = vars(layer)[name]
                places = order[:, None, :, None].expand(-1, part.shape[1], -1, part.shape[3])
                part[:, :, : seen.shape[1]] = part[:, :, : seen.shape[1]].gather(2, places)
            layer.cumulative_length.fill_(self.length)
        return seen.gather(-1, order)[:, : self.length]

    def shift(self, places: int) -> None:
        """Move everything to the right by so many places, or to the left, where what is pushed out is forgotten; static
        caches only."""
        import torch

        self.length += places
        for layer in self.cache.layers:
            layer.keys = torch.nn.functional.pad(layer.keys, (0, 0, places, 0))
            layer.values = torch.nn.functional.pad(layer.values, (0, 0, places, 0))
            layer.max_cache_len += places
            layer.cumulative_length.fill_(self.length)

    def widen(self, rows: int) -> None:
        """Add rows that hold nothing; static caches only."""
        import torch

        for layer in self.cache.layers:
            layer.keys = torch.cat([layer.keys, layer.keys.new_zeros((rows, *layer.keys.shape[1:]))])
            layer.values = torch.cat([layer.values, layer.values.new_zeros((rows, *layer.values.shape[1:]))])
            layer.batch_size += rows

    def put(self, past: Any, rows: Any, width: int) -> None:
        """Fill these rows with prompts of `width` places, which end where the next token is written."""
        for new, old in zip(self.cache.layers, past.layers, strict=True):
            new.keys[rows, :, self.length - width : self.length] = old.keys.to(new.dtype)
            new.values[rows, :, self.length - width : self.length] = old.values.to(new.dtype)

    def _grow(self, places: int) -> None:
        import torch

        for layer in self.cache.layers:
            layer.keys = torch.nn.functional.pad(layer.keys, (0, 0, 0, places))
            layer.values = torch.nn.functional.pad(layer.values, (0, 0, 0, places))
            layer.max_cache_len += places


def _static(past: Any, config: Any, length: int, room: int) -> Any:
    """A preallocated cache of `room` positions with the content of the dynamic one; None if the model needs its own.

    Under autocast it has autocast's dtype, in which attention computes; otherwise keys rotated in float32 would not
    match the values.
    """
    import torch
    from transformers import StaticCache
    from transformers.cache_utils import DynamicLayer, StaticLayer

    class Layer(StaticLayer):
        """Takes keys and values of any dtype."""

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


def prefill(model: Any, tokens: Any, padding: Any, counts: Sequence[int], longest: int) -> tuple[Any, Cache]:
    """The next-token logits of each prompt, and their cache, repeated for the samples, with room for `longest` tokens.

    Args:
        tokens: (prompts, width), left-padded by `padding` tokens each.
        counts: samples of each prompt.
    """
    width = tokens.shape[1]
    logits, past = forward(model, tokens, padding, counts)
    return logits, Cache(past, model.config, width, width + longest)


def forward(model: Any, tokens: Any, padding: Any, counts: Sequence[int]) -> tuple[Any, Any]:
    """The same with the model's own cache, before it is copied into a `Cache`."""
    import torch

    places = torch.arange(tokens.shape[1], device=tokens.device)
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
    repeats = counts[0] if len(set(counts)) == 1 else torch.tensor(counts, device=tokens.device)
    past.batch_repeat_interleave(repeats)
    return result.logits[:, -1], past
