"""Asks that come while others are being drawn: each gets its completions as soon as they have ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from selfimprove.inference import memory
from selfimprove.inference.asks import Job, Key, answers, keys_of
from selfimprove.inference.chat import prompts_ids
from selfimprove.inference.decoding import Draw, Row
from selfimprove.inference.joining import Joining, may
from selfimprove.inference.weights import context_of
from selfimprove.interfaces import Ask
from selfimprove.records import Rollout


class Coming:
    """Asks by their numbers, until they have their completions.

    Args:
        limit: tokens per completion, unless the sampling has its own limit.
        coming: gives the asks that have come since the last call.
        ended: called with the number of an ask and its completions.
    """

    def __init__(
        self, limit: int, coming: Callable[[], Sequence[Ask]], ended: Callable[[int, list[Rollout]], object]
    ) -> None:
        self._limit, self._coming, self._ended = limit, coming, ended
        self.left: dict[int, Ask] = {}
        """The asks without completions."""
        self._count = 0
        self._jobs: dict[int, tuple[Job, dict[int, Draw]]] = {}
        """Of the asks that are being drawn the job, and its completions by their places in it."""

    def take(self) -> dict[int, Ask]:
        """The asks that have come, numbered."""
        new = dict(enumerate(self._coming(), self._count))
        self.left |= new
        self._count += len(new)
        return new

    def draw(
        self,
        loaded: tuple[Any, Any] | None,
        most: int,
        thinking_budget: int | None,
        otherwise: Callable[[Sequence[Ask]], list[list[Rollout]]],
    ) -> None:
        """Draw what was taken and what comes, until nothing is left.

        Args:
            loaded: model and tokenizer; None if no ask can join others.
            most, thinking_budget: see `Joining`.
            otherwise: draws asks that cannot join: with shapes or patterns, by models with a cache of their own kind,
                or where memory ran out.
        """
        while self.left:
            if loaded:
                full = False
                try:
                    self._decode(*loaded, most, thinking_budget)
                except (RuntimeError, MemoryError) as error:
                    if not (full := memory.ran_out(error)):
                        raise
                if full:  # only here what the batch held is free
                    memory.give_back()
                    most = max(1, most // 2)
            left, self.left = self.left, {}
            self._jobs.clear()
            for number, made in zip(left, otherwise(list(left.values())), strict=True):
                self._ended(number, made)
            self.take()

    def _decode(self, model: Any, tokenizer: Any, most: int, thinking_budget: int | None) -> None:
        """Draw what can join others; ends when nothing can, or when something came that cannot, which is left."""
        wanting: dict[int, list[tuple[int, int]]] = {}

        def ended(number: int, drawn: Draw) -> None:
            for ask, place in wanting.pop(number):
                self._got(ask, place, drawn, tokenizer)

        batch, new = Joining(model, tokenizer, most, thinking_budget, ended), dict(self.left)
        while True:
            rows = self._rows(new, tokenizer, context_of(model))
            for number, places in zip(batch.add([row for row, _ in rows]), rows, strict=True):
                wanting[number] = places[1]
            if not batch.busy or not batch.step():
                return
            new = self.take() if len(self._jobs) == len(self.left) else {}

    def _rows(self, asks: Mapping[int, Ask], tokenizer: Any, context: int) -> list[tuple[Row, list[tuple[int, int]]]]:
        """The different completions that asks want, the ones of a prompt together, each with the asks and its places in
        them. An ask that cannot join or whose prompt fills the context has none."""
        some = {number: ask for number, ask in asks.items() if may(ask.sampling)}
        if not some:
            return []
        wanted: dict[tuple[tuple[int, ...], Key], list[tuple[int, int]]] = {}
        prompts = prompts_ids(tokenizer, [ask.prompt.prompt for ask in some.values()])
        for (number, ask), ids in zip(some.items(), prompts, strict=True):
            if len(ids) < context:
                keys = list(dict.fromkeys(keys_of(ask, self._limit)))
                self._jobs[number] = Job(tuple(ids), {key: place for place, key in enumerate(keys)}), {}
                for place, key in enumerate(keys):
                    wanted.setdefault((tuple(ids), key), []).append((number, place))
        made = list[tuple[Row, list[tuple[int, int]]]]()
        for (prompt, key), places in sorted(wanted.items(), key=lambda one: (len(one[0][0]), one[0][0])):
            heard = [hear for number, place in places if place == 0 and (hear := some[number].hear)]
            made.append((Row(prompt, *key, hear=tuple(heard)), places))
        return made

    def _got(self, number: int, place: int, drawn: Draw, tokenizer: Any) -> None:
        """An ask has got one of its completions."""
        job, known = self._jobs[number]
        known[place] = drawn
        if len(known) == len(job.places):
            job.drawn = [known[i] for i in range(len(known))]
            [made] = answers([self.left.pop(number)], [job], tokenizer, self._limit)
            del self._jobs[number]
            self._ended(number, made)
