"""Tools and slow environments: what waits runs in threads, and their replies are stored for a repeated step.

A killed step runs its routines again. Stored calls are not repeated and finished environments are not stepped again; an
unfinished environment first gets the earlier messages again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from selfimprove.episodes import Episode, Turn
from selfimprove.errors import Refused, UserError
from selfimprove.foreign.bounded_json import whole
from selfimprove.inference.routines import Call, Step, Strand
from selfimprove.records import Message, digest

Kept = MutableMapping[str, Any]
"""Plain values by name, including those of an earlier attempt at the step."""


@dataclass(eq=False)
class Told:
    """A slow environment with the messages so far; it receives them only when its next turn is not stored."""

    world: Episode
    said: list[Message | None] = field(default_factory=list)
    turns: list[Any] = field(default_factory=list)
    """Its turns so far, as plain values."""
    heard: int = 0
    """The number of messages that the environment itself has received."""

    def catch_up(self) -> Turn:
        """Its turn after the last message.

        Raises:
            Refused: its turns for the same messages changed.
        """
        while True:
            turn = self.world.step(self.said[self.heard])
            self.heard += 1
            if self.heard == len(self.said):
                return turn
            if _plain(turn) != self.turns[self.heard - 1]:
                raise Refused(
                    f"{type(self.world).__name__} answers the same messages in another way than before the "
                    "interruption: an episode's turns may depend on its problem and on what was said only"
                )


def steps(strands: Sequence[Strand], kept: Kept, run: int) -> None:
    """Take the environments' turns that strands wait for.

    Args:
        run: number of the run of routines in the step.
    """

    def name(strand: Strand) -> str:
        said = [one and {"role": one["role"], "content": one["content"]} for one in strand.waits.told.said]
        return digest(["step", run, *_place(strand), said])

    def turn(strand: Strand) -> Any:
        waits: Step = strand.waits
        return _plain(waits.told.catch_up())

    for strand, value in zip(strands, _asked(strands, kept, name, turn, _is_turn), strict=True):
        strand.waits.told.turns.append(value)
        strand.value = Turn(**value)


def calls(strands: Sequence[Strand], kept: Kept, run: int) -> None:
    """Make the tool calls that strands wait for; a failing tool costs its call, never the run.

    Args:
        run: number of the run of routines in the step.
    """

    def name(strand: Strand) -> str:
        waits: Call = strand.waits
        return digest(["call", run, *_place(strand), waits.name, waits.text])

    def said(strand: Strand) -> str:
        waits: Call = strand.waits
        try:
            return whole(waits.tool.call(waits.text))
        except UserError:
            raise
        except Exception as error:
            return whole(f"error: {error}")

    def is_text(value: Any) -> bool:
        return isinstance(value, str)

    slow = any(strand.waits.tool.slow for strand in strands)
    for strand, value in zip(strands, _asked(strands, kept, name, said, is_text, slow), strict=True):
        strand.value = value


def _asked(
    strands: Sequence[Strand],
    kept: Kept,
    name: Callable[[Strand], str],
    work: Callable[[Strand], Any],
    fits: Callable[[Any], bool],
    slow: bool = True,
) -> Iterable[Any]:
    """The result for each strand: the stored one, or that of `work`, stored in the order of the strands.

    Args:
        fits: whether a stored value has the form of a result; any other is dropped.
        slow: whether work waits for something, and so is done in threads; else handing it over would cost more.
    """
    names = [name(strand) for strand in strands]
    for known in names:
        if known in kept and not fits(kept[known]):
            del kept[known]
    new = [strand for strand, known in zip(strands, names, strict=True) if known not in kept]
    with ThreadPoolExecutor(max(1, min(len(new), os.cpu_count() or 1))) as threads:
        made = threads.map(work, new) if slow else map(work, new)
        for known in names:
            if known not in kept:
                kept[known] = next(made)
            yield kept[known]


def _place(strand: Strand) -> list[Any]:
    return [*strand.item, strand.path, strand.count]


def _plain(turn: Turn) -> Any:
    """A turn as JSON values."""
    values = {"player": turn.player, "news": [*turn.news], "rewards": dict(turn.rewards), "noted": dict(turn.noted)}
    return whole(json.loads(json.dumps(values)))


def _is_turn(value: Any) -> bool:
    """Whether plain values are those of a turn."""
    kinds = {"player": str | None, "news": list, "rewards": dict, "noted": dict}
    return (
        isinstance(value, dict)
        and value.keys() == kinds.keys()
        and all(isinstance(value[name], kind) for name, kind in kinds.items())
    )
