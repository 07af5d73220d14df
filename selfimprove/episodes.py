"""Worlds that a model speaks in: an episode says who speaks next and what that player is told; a question asks once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from selfimprove.records import Message, Prompt, Rollout


@dataclass(frozen=True)
class Turn:
    """What a world says after a message: who speaks next, and what that player is told."""

    player: str | None
    """Who is to speak; None: it is over."""
    news: Sequence[Message] = ()
    """What that player is told since it spoke last."""
    rewards: Mapping[str, float] = field(default_factory=dict)
    """What players earned since the last turn. No player sees it."""
    noted: Mapping[str, Any] = field(default_factory=dict)
    """What the method that opened the world may know beside it, as plain values. No player sees it."""


class Episode(ABC):
    """A world, opened for one problem. It may know the reference answer; who plays in it sees messages only."""

    slow: ClassVar[bool] = False
    """Whether a step takes long enough that steps of several worlds are taken at a time, in threads, and that what it
    said is kept: a killed step does not take it twice."""

    @abstractmethod
    def step(self, said: Message | None) -> Turn:
        """The world's turn after a message; None opens it. The same messages give the same turns."""


@dataclass
class Question(Episode):
    """The world of a plain problem: it asks once and marks the reply."""

    problem: Prompt
    mark: Callable[[Prompt, str], float | None]

    def step(self, said: Message | None) -> Turn:
        """The problem at first, then the mark of the reply."""
        if said is None:
            return Turn("solve", self.problem.prompt)
        mark = self.mark(self.problem, said["content"])
        return Turn(None, rewards={} if mark is None else {"solve": mark})


@dataclass(frozen=True)
class Played:
    """What became of an episode."""

    said: Mapping[str, Rollout]
    """The transcript of each player, in the order in which they first spoke: its messages say who spoke, its reward is
    the sum of what the player earned (None: nothing), `info["earned"]` what it earned after each time it spoke."""
    over: bool
    """Whether the world came to its end; False: the turns ran out."""
    noted: Mapping[str, Any] = field(default_factory=dict)
    """What the world noted, see `Turn.noted`; where it noted something again, the last of it."""
    drawn: Sequence[Rollout] = ()
    """Every completion that was drawn on the way, where that was asked for."""

    @property
    def rollout(self) -> Rollout:
        """The transcript of the player who spoke first."""
        return next(iter(self.said.values()))


class Tool(ABC):
    """Something that a method can call by name while it answers."""

    @abstractmethod
    def call(self, text: str) -> str:
        """What it says to a text. The same text gives the same reply."""
