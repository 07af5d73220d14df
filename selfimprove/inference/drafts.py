"""Decoding with drafts: several tokens are guessed cheaply and checked by one forward pass of the model.

A row's token at a place is a function of the model's distribution there and of the row's uniform number for the place
(see `decoding`). So a guess is right if it is the token that would have been drawn anyway, and the completions are the
ones that are drawn without drafts, greedy or not: no distribution is changed. The speculative sampling of
arXiv:2211.17192 and arXiv:2302.01318 accepts a guess x of q with min(1, p(x) / q(x)) instead, because it shares no
random numbers; here a drafting model draws with the same ones, so that equal distributions always agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from selfimprove.errors import DataError
from selfimprove.inference import choosing
from selfimprove.inference.cache import Cache, prefill
from selfimprove.inference.decoding import FAR, Draw, Kinds, Notes, Row
from selfimprove.inference.early_layers import Early
from selfimprove.inference.stops import Watch
from selfimprove.inference.thinking import form_of
from selfimprove.inference.weights import context_of, ends_of

LONGEST, SHORTEST = 3, 2
"""Tokens that must recur for a guess of what follows them, tried from the most to the fewest."""
LOOSE = 64
"""Cached places above which guesses that were wrong are cleared away, once they are half of all."""


def may(tokenizer: Any, rows: Sequence[Row]) -> bool:
    """Whether these rows can be drawn with drafts: no shapes, no patterns, and no stop strings beside thoughts."""
    if any(row.sampling.shape or row.sampling.pattern for row in rows):
        return False
    return not any(row.sampling.stop for row in rows) or form_of(tokenizer) is None


class Lookup:
    """Guesses from a row's own text: what followed the last time that its newest tokens occurred (prompt lookup)."""

    def __init__(self, lines: Sequence[Sequence[int]]) -> None:
        self._lines: list[list[int]] = [[] for _ in lines]
        self._after: list[dict[tuple[int, ...], int]] = [{} for _ in lines]
        for row, line in enumerate(lines):
            self.add(row, line)

    def add(self, row: int, tokens: Sequence[int]) -> None:
        """Tokens that a row has got."""
        line, after = self._lines[row], self._after[row]
        for token in tokens:
            for size in range(SHORTEST, LONGEST + 1):
                if len(line) >= size:
                    after[tuple(line[-size:])] = len(line)
            line.append(token)

    def guess(self, row: int, most: int) -> list[int]:
        """Up to so many tokens that may follow."""
        line = self._lines[row]
        for size in range(LONGEST, SHORTEST - 1, -1):
            place = self._after[row].get(tuple(line[-size:]))
            if place is not None:
                return line[place : place + most]
        return []


@dataclass
class _Batch:
    """The rows that have not ended: by number, with their newest token, tokens so far, and places in the caches."""

    alive: Any
    newest: Any
    count: Any
    start: Any
    """Tokens of the prompt."""
    seen: Any


def decode_drafted(
    model: Any, tokenizer: Any, rows: Sequence[Row], draft: Any = None, tokens: int = 4
) -> list[Draw] | None:
    """Draw a completion for each row, see `decode_rows`; None if the model keeps a cache of its own kind.

    Args:
        draft: a model with the same tokens that guesses; None guesses by n-grams of the row's own text.
        tokens: most guesses at a time.

    Raises:
        DataError: a prompt fills the model's context.
    """
    import torch

    device, models = model.device, {"": model} | ({"draft": draft} if draft is not None else {})
    prompts = [prompt for prompt, _ in groupby(row.prompt for row in rows)]
    counts = [sum(1 for _ in group) for _, group in groupby(row.prompt for row in rows)]
    width, context = max(map(len, prompts)), context_of(model)
    if width >= context:
        raise DataError(f"a prompt of {width} tokens fills the model's context of {context}")
    room = torch.tensor([min(row.limit, context - len(row.prompt)) for row in rows], device=device)
    longest, ends = int(room.max()), torch.tensor(ends_of(model, tokenizer), device=device)
    padding = torch.tensor([width - len(prompt) for prompt in prompts], device=device)
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    kinds, notes = Kinds(rows, longest, device, Early(model, []), None), Notes(rows, longest, device)
    watch = Watch(tokenizer, {i: row.sampling.stop for i, row in enumerate(rows) if row.sampling.stop})
    lookup = Lookup([row.prompt for row in rows]) if draft is None else None
    out = torch.full((len(rows), longest), -1, device=device)
    logprob, done = torch.zeros(len(rows), device=device), torch.zeros(len(rows), dtype=torch.bool, device=device)

    def drawn(logits: Any, alive: Any, count: Any) -> Any:
        """The next token of each of these rows, which is recorded."""
        chosen = torch.empty_like(alive)
        for piece in choosing.pieces(len(alive), logits.shape[-1], device.type):
            known, place = logits[piece].float().log_softmax(-1), count[piece]
            chosen[piece] = kinds.choose({"": logits[piece]}, known, alive[piece], place)
            logprob[alive[piece]] += known.gather(-1, chosen[piece, None])[:, 0]
            every = torch.ones_like(place, dtype=torch.bool)
            notes.take(known, chosen[piece], alive[piece], every, place)
        out[alive, count] = chosen
        last = torch.isin(chosen, ends)
        if watch.stops:
            said = (~last).nonzero()[:, 0]
            last[said[watch.step(alive[said].tolist(), chosen[said].tolist())]] = True
        done[alive] = last | (count + 1 == room[alive])
        if lookup:
            for row, token in zip(alive.tolist(), chosen.tolist(), strict=True):
                lookup.add(row, [token])
        return chosen

    with torch.inference_mode():
        first, caches = dict[str, Any](), dict[str, Cache]()
        for name, one in models.items():
            first[name], caches[name] = prefill(one, ids, padding, counts, FAR)
        if not all(cache.static for cache in caches.values()):
            return None
        places = torch.arange(len(prompts), device=device).repeat_interleave(torch.tensor(counts, device=device))
        alive, none = torch.arange(len(rows), device=device), torch.zeros(len(rows), dtype=torch.long, device=device)
        newest = drawn(first[""][places], alive, none)
        seen = torch.arange(width, device=device) >= padding[places][:, None]
        now = _Batch(alive, newest, none + 1, width - padding[places], seen)
        while not bool(done.all()):
            now = _left(now, done, caches)
            most = min(tokens, int((room[now.alive] - now.count).max()) - 1)
            guessed = _by_lookup(lookup, now, most) if lookup else _by_model(draft, caches["draft"], kinds, now, most)
            block = torch.cat([now.newest[:, None], guessed.clamp(min=0)], 1)
            steps = torch.arange(block.shape[1], device=device)
            positions = (now.start + now.count - 1)[:, None] + steps
            logits = caches[""].block(model, block, now.seen, positions)
            right = torch.zeros_like(block, dtype=torch.bool)
            going, newest, count = ~done[now.alive], now.newest.clone(), now.count.clone()
            for step in range(block.shape[1]):
                right[going, step] = True
                mine = going.nonzero()[:, 0]
                newest[mine] = drawn(logits[mine, step], now.alive[mine], count[mine])
                count[mine] += 1
                if step + 1 < block.shape[1]:
                    going = going & ~done[now.alive] & (newest == guessed[:, step])
                if not bool(going.any()):
                    break
            now = _Batch(now.alive, newest, count, now.start, torch.cat([now.seen, right], 1))

    made, stop_ids = [], set(ends.tolist())
    for row, (line, total) in enumerate(zip(out.tolist(), logprob.tolist(), strict=True)):
        size = line.index(-1) if -1 in line else longest
        ended = line[size - 1] in stop_ids
        kept = line[: size - 1] if ended else line[:size]
        made.append(Draw(kept, total, size, line[size - 1] if ended else None, watch.found.get(row, "")))
    notes.give(made)
    return made


def _left(now: _Batch, done: Any, caches: dict[str, Cache]) -> _Batch:
    """The batch without rows that have ended, once they are half of it, and without wrong guesses, once they are."""
    ended = done[now.alive]
    if int(ended.sum()) * 2 >= len(ended):
        rest = (~ended).nonzero()[:, 0]
        for cache in caches.values():
            cache.select(rest)
        now = _Batch(now.alive[rest], now.newest[rest], now.count[rest], now.start[rest], now.seen[rest])
    if now.seen.shape[1] > LOOSE and now.seen.shape[1] > 2 * int(now.seen.sum(-1).max()):
        now.seen, *_ = [cache.pack(now.seen) for cache in caches.values()]
    return now


def _by_lookup(lookup: Lookup, now: _Batch, most: int) -> Any:
    """Guesses for each row (rows, guesses), -1 where there is none."""
    import torch

    found = [lookup.guess(row, most) if most > 0 else [] for row in now.alive.tolist()]
    size = max(map(len, found), default=0)
    lines = [line + [-1] * (size - len(line)) for line in found]
    return torch.tensor(lines, dtype=torch.long, device=now.alive.device).reshape(len(found), size)


def _by_model(draft: Any, cache: Cache, kinds: Kinds, now: _Batch, most: int) -> Any:
    """The same by a model that draws with the rows' own uniform numbers; its cache gets all guesses."""
    import torch

    guessed, token, seen = list[Any](), now.newest, now.seen
    longest = kinds.longest
    for step in range(max(0, most) + 1):
        place = (now.start + now.count - 1 + step)[:, None]
        logits = cache.block(draft, token[:, None], seen, place)[:, 0]
        seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
        if step < most:
            at = (now.count + step).clamp(max=longest - 1)
            token = kinds.choose({"": logits}, logits.float().log_softmax(-1), now.alive, at)
            guessed.append(token)
    return torch.stack(guessed, 1) if guessed else now.newest.new_empty((len(now.alive), 0))
