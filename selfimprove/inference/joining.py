"""Decoding that takes further rows while others are being drawn, for requests that come one by one, as to a server.

A row that has ended gives its result at once, and its place to the next one. Places in the cache are counted from the
right: all rows write their next token at the same one, so a prompt that comes later is put to the left of it, and what
is still further left does not belong to its row. This is the continuous batching of Orca (Yu et al., OSDI 2022) with
left padding instead of paged memory. A completion is drawn from the same numbers as in `decoding`, so it does not
depend on when it joined, as far as a matrix product does not depend on its number of rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from selfimprove.errors import DataError
from selfimprove.inference import choosing
from selfimprove.inference.cache import Cache, forward
from selfimprove.inference.decoding import FAR, Draw, Kinds, Row
from selfimprove.inference.early_layers import Early
from selfimprove.inference.stops import Watch
from selfimprove.inference.thought_budget import Thoughts
from selfimprove.inference.weights import context_of, ends_of
from selfimprove.interfaces import Sampling

LOOSE = 64
"""Places of the cache that no row needs, above which they are cleared away, once they are half of all."""


def may(sampling: Sampling) -> bool:
    """Whether rows of this sampling can join: no shape, no pattern, and no statistics of their tokens."""
    return not (sampling.shape or sampling.pattern or sampling.note or sampling.tops)


@dataclass
class _Drawing:
    """A row that is being drawn."""

    number: int
    row: Row
    room: int
    """Most tokens."""
    tokens: list[int] = field(default_factory=list)
    watch: Watch | None = None
    thoughts: Thoughts | None = None


class Joining:
    """A batch that rows may join between two tokens.

    Args:
        most: rows that are drawn together at most; further ones wait.
        thinking_budget: most tokens of a thought, see `Thoughts`.
        ended: called with the number of a row, in order of their coming from 0, and its completion.
    """

    def __init__(
        self, model: Any, tokenizer: Any, most: int, thinking_budget: int | None, ended: Callable[[int, Draw], object]
    ) -> None:
        self._model, self._tokenizer, self._most, self._budget = model, tokenizer, most, thinking_budget
        self._ended, self._context, self._ends = ended, context_of(model), ends_of(model, tokenizer)
        self._coming, self._count = deque[_Drawing](), 0
        self._slots: list[_Drawing | None] = []
        self._cache: Cache | None = None
        self._last: list[Row] = []
        """The row that has, or had, each place in the batch."""
        self._kinds: Any = None
        self._uniforms: Any = None
        self._padding: Any = None
        self._newest: Any = None
        self._totals: Any = None

    @property
    def busy(self) -> bool:
        """Whether rows are being drawn or wait."""
        return bool(self._coming) or any(self._slots)

    def add(self, rows: Sequence[Row]) -> range:
        """Let rows come; those of one prompt are best adjacent. Returns their numbers.

        Raises:
            DataError: a prompt fills the model's context.
            RecipeError: there is a budget, and the model has no thoughts.
        """
        before = self._count
        for row in rows:
            if len(row.prompt) >= self._context:
                raise DataError(f"a prompt of {len(row.prompt)} tokens fills the model's context of {self._context}")
            drawing = _Drawing(self._count, row, min(row.limit, self._context - len(row.prompt)))
            if row.sampling.stop or self._budget is not None:
                thoughts = Thoughts(self._tokenizer, [row.prompt], self._budget)
                drawing.thoughts = thoughts if thoughts.any else None
            if row.sampling.stop:
                drawing.watch = Watch(self._tokenizer, {0: row.sampling.stop})
            self._coming.append(drawing)
            self._count += 1
        return range(before, self._count)

    def step(self) -> bool:
        """Let rows in where there is place, and draw a token of each row; False if the model keeps a cache of its own
        kind, which takes no further rows: then nothing was drawn."""
        import torch

        with torch.inference_mode():
            if self._cache is not None:
                self._leave()
            if self._cache is not None:
                places = [place for place, one in enumerate(self._slots) if one]
                self._draw(places, self._cache.step(self._model, self._newest, self._padding)[places])
            return self._enter()

    # ---- who is in the batch ----------------------------------------------------------------------------------------
    def _leave(self) -> None:
        """Forget ended rows once they are half of the batch and nobody takes their places, and places of the cache
        that no row needs."""
        import torch

        places = [place for place, one in enumerate(self._slots) if one]
        if not places or self._cache is None:
            self._cache, self._slots, self._last = None, [], []
            return
        if 2 * len(places) <= len(self._slots):
            rest = torch.tensor(places, device=self._newest.device)
            self._cache.select(rest)
            self._slots, self._last = [self._slots[i] for i in places], [self._last[i] for i in places]
            self._padding, self._newest, self._totals = self._padding[rest], self._newest[rest], self._totals[rest]
            self._uniforms = self._uniforms[rest]
            self._sort()
            places = [*range(len(places))]
        loose = int(self._padding[places].min())
        if loose > LOOSE and 2 * loose >= self._cache.length:
            self._cache.shift(-loose)
            self._padding = (self._padding - loose).clamp(min=0)

    def _enter(self) -> bool:
        """Let rows in, as many as have place, and draw their first tokens."""
        import torch

        free = [place for place, one in enumerate(self._slots) if one is None]
        count = min(len(self._coming), self._most - len(self._slots) + len(free))
        if count <= 0:
            return True
        new, device = [self._coming.popleft() for _ in range(count)], self._model.device
        groups = [(prompt, len([*some])) for prompt, some in groupby(one.row.prompt for one in new)]
        width = max(len(prompt) for prompt, _ in groups)
        before = torch.tensor([width - len(prompt) for prompt, _ in groups], device=device)
        tokens = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt, _ in groups], device=device)
        counts = [count for _, count in groups]
        logits, past = forward(self._model, tokens, before, counts)
        of = torch.arange(len(groups), device=device).repeat_interleave(torch.tensor(counts, device=device))
        if self._cache is None:
            self._cache = Cache(past, self._model.config, width, FAR)
            if not self._cache.static:
                self._coming.extendleft(reversed(new))
                self._cache = None
                return False
            places = [*range(count)]
            self._slots, self._last = [None] * count, [one.row for one in new]
            self._padding, self._newest = before[of], torch.zeros(count, dtype=torch.long, device=device)
            self._totals, self._uniforms = torch.zeros(count, device=device), torch.zeros((count, 1), device=device)
        else:
            if width > self._cache.length:
                self._padding = self._padding + (width - self._cache.length)
                self._cache.shift(width - self._cache.length)
            if count > len(free):
                self._widen(count - len(free), new[0].row)
            places = [place for place, one in enumerate(self._slots) if one is None][:count]
            self._cache.put(past, torch.tensor(places, device=device), width)
            self._padding[places] = before[of] + (self._cache.length - width)
        for place, one in zip(places, new, strict=True):
            self._slots[place], self._last[place] = one, one.row
        self._number(places, [one.row for one in new])
        self._draw(places, logits[of])
        return True

    def _widen(self, more: int, row: Row) -> None:
        """Add free places to the batch."""
        import torch

        assert self._cache is not None
        self._cache.widen(more)
        self._slots, self._last = [*self._slots, *[None] * more], [*self._last, *[row] * more]
        for name in ("_padding", "_newest", "_totals"):
            old = vars(self)[name]
            setattr(self, name, torch.cat([old, old.new_zeros(more)]))
        self._uniforms = torch.cat([self._uniforms, self._uniforms.new_zeros((more, self._uniforms.shape[1]))])

    def _number(self, places: list[int], rows: list[Row]) -> None:
        """Give new rows their uniform numbers."""
        import torch

        longest = max(row.limit for row in rows)
        self._totals[places] = 0.0
        if longest > self._uniforms.shape[1]:
            self._uniforms = torch.nn.functional.pad(self._uniforms, (0, longest - self._uniforms.shape[1]))
        if any(row.sampling.temperature > 0 for row in rows):
            made = torch.from_numpy(choosing.of_rows(rows, longest)).to(self._uniforms.device)
            self._uniforms[places, :longest] = made
        self._sort()

    def _sort(self) -> None:
        """Group the rows by how they are drawn."""
        device = self._uniforms.device
        self._kinds = Kinds(
            self._last, self._uniforms.shape[1], device, Early(self._model, []), None, uniforms=self._uniforms
        )

    # ---- a token of each row ----------------------------------------------------------------------------------------
    def _draw(self, places: list[int], logits: Any) -> None:
        """Draw a token of each of these rows, and give those that end.

        Args:
            logits: (places, vocabulary).
        """
        import torch

        device = logits.device
        alive = torch.tensor(places, device=device)
        drawings = [one for place in places if (one := self._slots[place])]
        counts = torch.tensor([len(one.tokens) for one in drawings], device=device)
        chosen, gained = torch.empty_like(alive), torch.empty(len(places), device=device)
        for piece in choosing.pieces(len(places), logits.shape[-1], device.type):
            logprobs = logits[piece].float().log_softmax(-1)
            chosen[piece] = self._kinds.choose({"": logits[piece]}, logprobs, alive[piece], counts[piece])
            for i, one in enumerate(drawings[piece], piece.start):
                if one.thoughts:
                    chosen[i] = one.thoughts.take([0], [int(chosen[i])])[0]
            gained[piece] = logprobs.gather(-1, chosen[piece, None])[:, 0]
        self._totals[alive] += gained
        self._newest[alive] = chosen
        for place, one, token in zip(places, drawings, chosen.tolist(), strict=True):
            if self._take(one, token):
                self._slots[place] = None
                self._ended(one.number, self._whole(one, float(self._totals[place])))

    def _take(self, one: _Drawing, token: int) -> bool:
        """Give a row its next token; returns whether it has ended."""
        place = len(one.tokens)
        one.tokens.append(token)
        if token in self._ends:
            return True
        for hear in one.row.hear:
            hear(place, token)
        silent = one.thoughts is not None and one.thoughts.thinking([0])[0]
        stopped = one.watch is not None and not silent and bool(one.watch.step([0], [token]))
        return stopped or len(one.tokens) == one.room

    def _whole(self, one: _Drawing, total: float) -> Draw:
        """The completion of a row that has ended."""
        end = one.tokens[-1] if one.tokens[-1] in self._ends else None
        kept, stop = one.tokens if end is None else one.tokens[:-1], one.watch.found.get(0, "") if one.watch else ""
        made = Draw(kept, total, len(one.tokens), end, stop)
        if one.thoughts and (closed := one.thoughts.closed.get(0)):
            made.closed = range(closed.start, min(closed.stop, made.count))
        return made
