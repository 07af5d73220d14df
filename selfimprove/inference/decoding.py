"""Batched decoding with a transformers model, without repeated work; used by the transformers engine.

A prompt is prefilled once for all of its samples, the cache is preallocated, ended rows leave the batch. Each token is
drawn by inverting the cumulative distribution at a uniform number that depends only on (seed, prompt, sample,
position), so a completion does not depend on its neighbours in the batch. Each row has its own sampling, limit, seed
and stop strings; rows of one kind are drawn by the same operations as if they were alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from selfimprove.errors import DataError
from selfimprove.inference import choosing
from selfimprove.inference.cache import Cache, prefill
from selfimprove.inference.early_layers import Early
from selfimprove.inference.patterns import Patterns
from selfimprove.inference.stops import Watch
from selfimprove.inference.thought_budget import Thoughts
from selfimprove.inference.token_scores import number
from selfimprove.inference.weights import context_of, ends_of
from selfimprove.interfaces import Sampling

STEP = 32
"""Widths of prompts are multiples of it where shapes are fixed."""
FAR = 1 << 30
"""A limit of the cache that no completion reaches."""


@dataclass(frozen=True, slots=True)
class Row:
    """One completion to draw."""

    prompt: tuple[int, ...]
    sample: int
    """Its number among the samples of this prompt and seed."""
    sampling: Sampling
    limit: int
    """Most tokens."""
    seed: int
    hear: tuple[Callable[[int, int], object], ...] = field(default=(), compare=False, repr=False)
    """Called with place and token as they are drawn, see `Ask.hear`."""


@dataclass
class Draw:
    """One completion: its tokens without the end token, log-probability in nats, and tokens drawn."""

    tokens: list[int]
    logprob: float
    count: int
    end: int | None
    """The end token; None if it ended at a stop string or at the limit."""
    stop: str = ""
    """The stop string that ended it."""
    noted: dict[str, list[float]] = field(default_factory=dict)
    """The statistics of `Sampling.note`, with a number for each token."""
    tops: list[list[tuple[int, float]]] = field(default_factory=list)
    """The most likely tokens at each position with their log-probabilities, if `Sampling.tops` asks for them."""
    closed: range = range(0)
    """The places of the tokens that closed its thought, which were not drawn."""


def decode(
    model: Any, tokenizer: Any, batch: list[tuple[int, ...]], rows: int, sampling: Sampling, limit: int, seed: int
) -> list[list[Draw]]:
    """Draw `rows` completions of each prompt of a batch, all in the same way; see `decode_rows`.

    Args:
        batch: token ids of each prompt; best of nearly equal lengths, because shorter ones are padded on the left.
        limit: tokens per completion, unless `sampling` has its own limit.
    """
    limit = sampling.max_completion_length or limit
    wanted = [Row(prompt, sample, sampling, limit, seed) for prompt in batch for sample in range(rows)]
    drawn = decode_rows(model, tokenizer, wanted)
    return [drawn[i : i + rows] for i in range(0, len(drawn), rows)]


def decode_rows(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Row],
    beside: Mapping[str, Any] = {},
    thinking_budget: int | None = None,
    fixed: int = 0,
) -> list[Draw]:
    """Draw a completion for each row; the rows of one prompt are adjacent.

    Args:
        beside: further models by name, with the same tokenizer, that run in step for the `Shape` of these rows.
        thinking_budget: most tokens of a thought, see `Thoughts`.
        fixed: if above 0, the batch has this many rows all the time, and prompts have the width of `width_of`, so that
            every matrix product has the same shape whatever the other rows are.

    Raises:
        DataError: a prompt fills the model's context.
        RecipeError: there is a budget, and the model has no thoughts.
    """
    import torch

    device, models, wanted = model.device, {"": model, **beside}, len(rows)
    rows = [*rows, *[replace(rows[-1], limit=1, hear=())] * (fixed - len(rows))]
    counts = [1] * fixed or [sum(1 for _ in group) for _, group in groupby(row.prompt for row in rows)]
    prompts = [row.prompt for row in rows] if fixed else [prompt for prompt, _ in groupby(row.prompt for row in rows)]
    width = max(len(prompt) for prompt in prompts)
    context = min(context_of(one) for one in models.values())
    if width >= context:
        raise DataError(f"a prompt of {width} tokens fills the model's context of {context}")
    room = [min(row.limit, context - len(row.prompt)) for row in rows]
    width, longest = width_of(width) if fixed else width, max(room)
    stops = torch.tensor(ends_of(model, tokenizer), device=device)
    padding = torch.tensor([width - len(prompt) for prompt in prompts], device=device)
    tokens = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    early = Early(model, [row.sampling.shape.layers for row in rows if row.sampling.shape])
    watch = Watch(tokenizer, {i: row.sampling.stop for i, row in enumerate(rows) if row.sampling.stop})
    held = {i: row.sampling.pattern for i, row in enumerate(rows) if row.sampling.pattern}
    watched = thinking_budget is not None or bool(watch.stops or held)
    thoughts = Thoughts(tokenizer, [row.prompt for row in rows], thinking_budget) if watched else None
    patterns = Patterns(tokenizer, ends_of(model, tokenizer), held, thoughts.replying) if thoughts and held else None
    kinds = Kinds(rows, longest, device, early, patterns)
    heard = {i: row.hear for i, row in enumerate(rows) if row.hear}

    with torch.inference_mode(), early:
        logits, caches = dict[str, Any](), dict[str, Cache]()
        for name, one in models.items():
            logits[name], caches[name] = prefill(one, tokens, padding, counts, FAR if fixed else longest)
        logits |= early.logits()
        places = torch.arange(len(prompts), device=device).repeat_interleave(torch.tensor(counts, device=device))
        padding = padding[places]
        ends_at = torch.tensor(room, device=device)
        alive = torch.arange(len(rows), device=device)
        done = torch.zeros(len(alive), dtype=torch.bool, device=device)
        out = torch.full((len(alive), longest), -1, device=device)
        logprob = torch.zeros(len(alive), device=device)
        notes = Notes(rows, longest, device)
        for position in range(longest):
            keep, chosen = ~done, torch.empty_like(alive)
            for piece in choosing.pieces(len(alive), logits[""].shape[-1], device.type):
                some = {name: one[places[piece]] if position == 0 else one[piece] for name, one in logits.items()}
                logprobs = some[""].float().log_softmax(-1)
                chosen[piece] = kinds.choose(some, logprobs, alive[piece], position)
                here, before = alive[piece].tolist(), patterns.writing(alive[piece].tolist()) if patterns else ()
                if thoughts and thoughts.any:
                    chosen[piece] = torch.tensor(thoughts.take(here, chosen[piece].tolist()), device=device)
                if patterns:
                    patterns.take(here, chosen[piece].tolist(), before)
                mine = alive[piece][keep[piece]]
                logprob[mine] += logprobs.gather(-1, chosen[piece, None])[keep[piece], 0]
                notes.take(logprobs, chosen[piece], alive[piece], keep[piece], position)
            logits.clear()  # the next ones take as much memory
            out[alive[keep], position] = chosen[keep]
            last = torch.isin(chosen, stops)
            if heard:
                told = keep & ~last
                for row, token in zip(alive[told].tolist(), chosen[told].tolist(), strict=True):
                    for hear in heard.get(row, ()):
                        hear(position, token)
            if watch.stops:  # tokens after the end of a row that has not left yet do not count
                said = keep & ~last
                if thoughts and thoughts.any:
                    said &= ~torch.tensor(thoughts.thinking(alive.tolist()), device=device)
                said = said.nonzero()[:, 0]
                done[said[watch.step(alive[said].tolist(), chosen[said].tolist())]] = True
            done |= last | (ends_at == position + 1)
            if position + 1 == longest or bool(done.all()):
                break
            if not fixed and int(done.sum()) * 2 >= len(done):
                rest = (~done).nonzero()[:, 0]
                for cache in caches.values():
                    cache.select(rest)
                alive, chosen, padding, done = alive[rest], chosen[rest], padding[rest], done[rest]
                ends_at = ends_at[rest]
            for name, cache in caches.items():
                logits[name] = cache.step(models[name], chosen, padding)
            logits |= early.logits()

    drawn, stop_ids = [], set(stops.tolist())
    for row, (line, total) in enumerate(zip(out.tolist(), logprob.tolist(), strict=True)):
        count = line.index(-1) if -1 in line else longest
        ended = count > 0 and line[count - 1] in stop_ids
        kept = line[: count - 1] if ended else line[:count]
        drawn.append(Draw(kept, total, count, line[count - 1] if ended else None, watch.found.get(row, "")))
    notes.give(drawn)
    for row, places in thoughts.closed.items() if thoughts else ():
        drawn[row].closed = range(places.start, min(places.stop, drawn[row].count))
    return drawn[:wanted]


def width_of(length: int) -> int:
    """The width of prompts of a length where shapes are fixed: each has padding, so that all take the same way."""
    return STEP * (length // STEP + 1)


class Kinds:
    """Groups rows by temperature, filters and shape. Most batches have one group."""

    def __init__(
        self,
        rows: Sequence[Row],
        longest: int,
        device: Any,
        early: Early,
        patterns: Patterns | None,
        uniforms: Any = None,
    ) -> None:
        """Args:
        uniforms: the numbers of the rows (rows, longest), if they are known.
        """
        import torch

        self.early, self.patterns, self.longest = early, patterns, longest
        chosen_by = {
            sampling: replace(sampling, max_completion_length=None, stop=(), note=(), tops=0)
            for sampling in dict.fromkeys(row.sampling for row in rows)
        }
        self.samplings = list(dict.fromkeys(chosen_by.values()))
        places = {sampling: self.samplings.index(kind) for sampling, kind in chosen_by.items()}
        self.kind = torch.tensor([places[row.sampling] for row in rows], device=device)
        self.uniforms: Any = uniforms
        if uniforms is None and any(sampling.temperature > 0 for sampling in self.samplings):
            self.uniforms = torch.from_numpy(choosing.of_rows(rows, longest)).to(device)

    def choose(self, logits: Mapping[str, Any], logprobs: Any, alive: Any, position: Any) -> Any:
        """The next token of each row that is alive.

        Args:
            position: their place in the completions; a number for all, or (rows,).
        """
        import torch

        if len(self.samplings) == 1:
            return self._of(self.samplings[0], logits, logprobs, alive, position)
        chosen, kind = torch.zeros_like(alive), self.kind[alive]
        for i, sampling in enumerate(self.samplings):
            here = (kind == i).nonzero()[:, 0]
            if len(here):
                part = {name: one[here] for name, one in logits.items()}
                place = position if isinstance(position, int) else position[here]
                chosen[here] = self._of(sampling, part, logprobs[here], alive[here], place)
        return chosen

    def _of(self, sampling: Sampling, logits: Mapping[str, Any], logprobs: Any, alive: Any, position: Any) -> Any:
        if sampling.shape is not None:
            asked = [*sampling.shape.beside, *self.early.names(sampling.shape.layers)]
            others = {name: choosing.fitted(logits[name], logprobs.shape[-1]) for name in asked}
            shaped = sampling.shape.apply({"": logprobs, **others})
        else:
            shaped = logprobs if sampling.temperature == 0 else logits[""].float()
        if sampling.pattern and self.patterns:
            shaped = self.patterns.masked(alive.tolist(), shaped)
        if sampling.temperature == 0:
            return shaped.argmax(-1)
        return choosing.draw(shaped, sampling, self.uniforms[alive, position])


class Notes:
    """The statistics recorded for each token besides its log-probability, for the rows that ask for them."""

    def __init__(self, rows: Sequence[Row], longest: int, device: Any) -> None:
        import torch

        self.rows = rows
        self.numbers = {
            name: torch.zeros((len(rows), longest), device=device)
            for name in dict.fromkeys(name for row in rows for name in row.sampling.note)
        }
        self.most = max(row.sampling.tops for row in rows)
        if self.most:
            self.ids = torch.zeros((len(rows), longest, self.most), dtype=torch.long, device=device)
            self.values = torch.full((len(rows), longest, self.most), -torch.inf, device=device)

    def take(self, logprobs: Any, chosen: Any, alive: Any, keep: Any, position: Any) -> None:
        place = position if isinstance(position, int) else position[keep]
        for name, numbers in self.numbers.items():
            numbers[alive[keep], place] = number(logprobs[keep], chosen[keep], name)
        if self.most:
            values, ids = logprobs[keep].topk(min(self.most, logprobs.shape[-1]))
            self.ids[alive[keep], place, : ids.shape[-1]] = ids
            self.values[alive[keep], place, : ids.shape[-1]] = values

    def give(self, drawn: Sequence[Draw]) -> None:
        for i, (row, draw) in enumerate(zip(self.rows, drawn, strict=True)):
            draw.noted = {name: self.numbers[name][i, : draw.count].tolist() for name in row.sampling.note}
            if row.sampling.tops:
                part = slice(0, draw.count), slice(0, row.sampling.tops)
                lines = zip(self.ids[i][part].tolist(), self.values[i][part].tolist(), strict=True)
                draw.tops = [list(zip(ids, values, strict=True)) for ids, values in lines]
