"""Sample with Hugging Face transformers, on a CPU or one GPU.

Idea: batched decoding that does equal work once: prompts are sorted by length, a prompt is prefilled once for all of
its samples, equal prompts are drawn once, rows that have ended leave the batch, the cache is preallocated.
Survey: inference engines, section 5.2.4.
Paper: none.
Algorithm:
  1. Tokenize; merge equal prompts; sort by length; cut into batches of at most `batch_size` rows.
  2. Prefill each prompt once, repeat its cache n times, move it into a preallocated cache.
  3. Draw each next token by inverting the cumulative distribution at a uniform number that depends on (seed, prompt,
     sample, position) only, so a completion does not depend on its neighbours in the batch.
  4. Drop finished rows whenever half of the batch has ended.
Differs: `generate` prefills every sample and keeps finished rows; its greedy text is the same (a test compares them).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.interfaces import Engine, Log, Sampling
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import completion_ids, prompt_ids

GROWTH = 32
"""Positions by which the cache grows when it is full."""


@register("transformers")
@dataclass
class Transformers(Engine):
    batch_size: int = 1024
    """Completions decoded together; lower it when memory runs out."""
    max_completion_length: int = 512
    """Tokens per completion, unless the method that samples sets its own limit."""
    device: str = "auto"
    """`auto` takes a GPU if there is one; or `cpu`, `cuda`, `cuda:1`, `mps`."""
    dtype: str = "auto"
    """Weights' number type; `auto` takes what the checkpoint was saved in."""
    cached_models: int = 2
    """Checkpoints kept in memory at once."""

    def __post_init__(self) -> None:
        self._loaded: OrderedDict[str, tuple[Any, Any]] = OrderedDict()

    def sample(
        self, checkpoint: Checkpoint, prompts: Sequence[Prompt], n: int, sampling: Sampling, seed: int, log: Log
    ) -> list[list[Rollout]]:
        model, tokenizer = self._load(checkpoint)
        rows = n if sampling.temperature > 0 else 1  # greedy samples of one prompt are equal
        ids = [tuple(prompt_ids(tokenizer, prompt.prompt)) for prompt in prompts]
        order = sorted(set(ids), key=lambda one: (len(one), one))
        size = max(1, self.batch_size // rows)
        drawn: dict[tuple[int, ...], list[_Draw]] = {}
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            groups = _decode(model, tokenizer, batch, rows, sampling, self.max_completion_length, seed)
            drawn.update(zip(batch, groups, strict=True))
            log.progress(len(drawn) * rows, len(order) * rows, "samples")
        texts = {
            one: tokenizer.batch_decode([draw.tokens for draw in group], skip_special_tokens=True)
            for one, group in drawn.items()
        }
        return [
            [
                Rollout(
                    prompt=prompt,
                    completion=[{"role": "assistant", "content": texts[one][i % rows]}],
                    logprobs={"sum": round(drawn[one][i % rows].logprob, 4), "count": drawn[one][i % rows].count},
                    info={"finish_reason": drawn[one][i % rows].finish_reason},
                )
                for i in range(n)
            ]
            for prompt, one in zip(prompts, ids, strict=True)
        ]

    def score(self, checkpoint: Checkpoint, rollouts: Sequence[Rollout]) -> list[list[float]]:
        import torch

        model, tokenizer = self._load(checkpoint)
        pairs = [
            (
                prompt_ids(tokenizer, rollout.prompt.prompt),
                completion_ids(tokenizer, rollout.completion, not rollout.truncated),
            )
            for rollout in rollouts
        ]
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
        scores: list[list[float]] = [[] for _ in pairs]
        size = max(1, self.batch_size // 8)  # scoring holds the logits of all positions at once
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            width = max(len(pairs[i][0]) + len(pairs[i][1]) for i in batch)
            tokens = torch.full((len(batch), width), tokenizer.pad_token_id or 0)
            mask = torch.zeros((len(batch), width), dtype=torch.long)
            for row, i in enumerate(batch):
                both = [*pairs[i][0], *pairs[i][1]]
                tokens[row, : len(both)] = torch.tensor(both)
                mask[row, : len(both)] = 1
            tokens, mask = tokens.to(model.device), mask.to(model.device)
            with torch.inference_mode():
                logits = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits
                logprobs = logits[:, :-1].float().log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0].cpu()
            for row, i in enumerate(batch):
                first = len(pairs[i][0]) - 1
                scores[i] = logprobs[row, first : first + len(pairs[i][1])].tolist()
        return scores

    def close(self) -> None:
        self._loaded.clear()

    def _load(self, checkpoint: Checkpoint) -> tuple[Any, Any]:
        if checkpoint.path in self._loaded:
            self._loaded.move_to_end(checkpoint.path)
            return self._loaded[checkpoint.path]
        while len(self._loaded) >= self.cached_models:
            self._loaded.popitem(last=False)
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        local = Path(checkpoint.path).exists()
        try:
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.path, local_files_only=local)
            model = AutoModelForCausalLM.from_pretrained(
                checkpoint.path,
                dtype=self.dtype,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=local,
            )
        except (OSError, ValueError) as error:
            raise DataError(f"{checkpoint.path} cannot be loaded: {str(error).splitlines()[0]}") from error
        self._loaded[checkpoint.path] = model.eval().to(device), tokenizer  # type: ignore[arg-type]
        return self._loaded[checkpoint.path]


@dataclass
class _Draw:
    tokens: list[int]
    logprob: float
    count: int
    finish_reason: str


def _uniforms(seed: int, prompt: tuple[int, ...], rows: int, length: int) -> Any:
    """(rows, length) numbers in [0, 1) that depend on the seed and the prompt only."""
    import numpy

    key = hashlib.sha256(f"{seed}:{prompt}".encode()).digest()
    generator = numpy.random.Generator(numpy.random.Philox(key=int.from_bytes(key[:16], "big")))
    return generator.random((rows, length), dtype=numpy.float32)


def _decode(
    model: Any, tokenizer: Any, batch: list[tuple[int, ...]], rows: int, sampling: Sampling, limit: int, seed: int
) -> list[list[_Draw]]:
    """`rows` completions of each prompt of a batch."""
    import numpy
    import torch

    device = model.device
    width = max(len(prompt) for prompt in batch)
    longest = min(sampling.max_completion_length or limit, model.config.max_position_embeddings - width)
    if longest < 1:
        raise DataError(
            f"a prompt of {width} tokens fills the model's context of {model.config.max_position_embeddings}"
        )
    ends = model.generation_config.eos_token_id
    stops = torch.tensor(sorted({*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None}))
    stops = stops.to(device)
    padding = torch.tensor([width - len(prompt) for prompt in batch], device=device)
    tokens = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in batch], device=device)
    uniforms = None
    if sampling.temperature > 0:
        uniforms = torch.from_numpy(numpy.concatenate([_uniforms(seed, p, rows, longest) for p in batch])).to(device)

    with torch.inference_mode():
        logits, cache = _prefill(model, tokens, padding, rows)
        padding = padding.repeat_interleave(rows)
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
            done |= torch.isin(chosen, stops)
            if position + 1 == longest or bool(done.all()):
                break
            if int(done.sum()) * 2 >= len(done):
                rest = (~done).nonzero()[:, 0]
                cache.select(rest)
                alive, chosen, padding, done = alive[rest], chosen[rest], padding[rest], done[rest]
            logits = cache.step(model, chosen, padding)

    groups: list[list[_Draw]] = [[] for _ in batch]
    stop_ids = set(stops.tolist())
    for row, (line, total) in enumerate(zip(out.tolist(), logprob.tolist(), strict=True)):
        count = line.index(-1) if -1 in line else longest
        ended = count > 0 and line[count - 1] in stop_ids
        kept = line[: count - 1] if ended else line[:count]
        groups[row // rows].append(_Draw(kept, total, count, "stop" if ended else "length"))
    return groups


def _draw(logits: Any, sampling: Sampling, uniform: Any) -> Any:
    """One token for each row: filter as vLLM and transformers do, then invert the cumulative distribution."""
    import torch

    probabilities = (logits / sampling.temperature).softmax(-1)
    if sampling.top_k or sampling.top_p < 1 or sampling.min_p > 0:
        ordered, index = probabilities.sort(-1, descending=True)
        drop = ordered.cumsum(-1) - ordered >= sampling.top_p if sampling.top_p < 1 else torch.zeros_like(ordered) > 0
        drop |= ordered < sampling.min_p * ordered[:, :1]
        if sampling.top_k:
            drop[:, sampling.top_k :] = True
        probabilities = probabilities.scatter(-1, index, ordered.masked_fill(drop, 0.0))
    cumulative = probabilities.cumsum(-1)
    target = uniform[:, None] * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, target, right=True)[:, 0]
    return chosen.clamp(max=logits.shape[-1] - 1)


class _Cache:
    """Keys and values of a batch in preallocated memory that grows in blocks and can drop rows.

    Models with other than plain full attention keep their own dynamic cache.
    """

    def __init__(self, past: Any, config: Any, length: int) -> None:
        from transformers import StaticCache
        from transformers.cache_utils import DynamicLayer, StaticLayer

        self.length = length
        self.cache: Any = past
        self.static = all(type(layer) is DynamicLayer for layer in past.layers)
        if not self.static:
            return
        self.cache = StaticCache(config=config, max_cache_len=length + GROWTH)
        self.static = all(type(layer) is StaticLayer for layer in self.cache.layers)
        if not self.static:
            self.cache = past
            return
        for new, old in zip(self.cache.layers, past.layers, strict=True):
            new.lazy_initialization(old.keys, old.values)
            new.keys[:, :, :length] = old.keys
            new.values[:, :, :length] = old.values
            new.cumulative_length.fill_(length)

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
            for layer in self.cache.layers:
                layer.keys = torch.nn.functional.pad(layer.keys, (0, 0, 0, GROWTH))
                layer.values = torch.nn.functional.pad(layer.values, (0, 0, 0, GROWTH))
                layer.max_cache_len += GROWTH
        width = self.cache.layers[0].max_cache_len if self.static else self.length + 1
        places = torch.arange(width, device=tokens.device)
        mask = places <= self.length
        mask = (mask & (places >= padding[:, None]))[:, None, None] if bool(padding.any()) else mask[None, None, None]
        logits = model(
            input_ids=tokens[:, None],
            attention_mask=mask if self.static else mask.expand(len(tokens), 1, 1, width)[:, 0, 0].long(),
            position_ids=(self.length - padding)[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]
        self.length += 1
        return logits


def _prefill(model: Any, tokens: Any, padding: Any, rows: int) -> tuple[Any, _Cache]:
    """The next-token logits and the cache of each prompt, repeated for its samples."""
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
    past = result.past_key_values
    past.batch_repeat_interleave(rows)
    return result.logits[:, -1].repeat_interleave(rows, 0), _Cache(past, model.config, width)
