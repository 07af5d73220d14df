"""Environments that a model acts in: an episode says who speaks next and what that player sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from selfimprove.records import Message, Prompt, Rollout


@dataclass(frozen=True)
class Turn:
    """The environment's turn after a message: who speaks next, and what that player sees."""

    player: str | None
    """The next player; None if the episode is over."""
    news: Sequence[Message] = ()
    """The messages for that player since it last spoke."""
    rewards: Mapping[str, float] = field(default_factory=dict)
    """The players' rewards since the last turn, which no player sees."""
    noted: Mapping[str, Any] = field(default_factory=dict)
    """What the method that opened the world may know beside it, as plain values. No player sees it."""


class Episode(ABC):
    """An environment opened for one problem. It may know the reference answer; players see messages only."""

    slow: ClassVar[bool] = False
    """Whether a step takes long enough that steps of several worlds are taken at a time, in threads, and that what it
    said is kept: a killed step does not take it twice."""

    @abstractmethod
    def step(self, said: Message | None) -> Turn:
        """The environment's turn after a message; None opens it. The same messages give the same turns."""


@dataclass
class Question(Episode):
    """The environment of a plain problem: it asks once and marks the reply."""

    problem: Prompt
    mark: Callable[[Prompt, str], float | None]

    def step(self, said: Message | None) -> Turn:
        """First the problem, then the mark of the reply."""
        if said is None:
            return Turn("solve", self.problem.prompt)
        mark = self.mark(self.problem, said["content"])
        return Turn(None, rewards={} if mark is None else {"solve": mark})


@dataclass(frozen=True)
class Played:
    """The result of an episode."""

    said: Mapping[str, Rollout]
    """The transcript of each player, in the order in which they first spoke: its messages say who spoke, its reward is
    the sum of what the player earned (None: nothing), `info["earned"]` what it earned after each time it spoke."""
    over: bool
    """Whether the environment ended the episode; False if the turns ran out."""
    noted: Mapping[str, Any] = field(default_factory=dict)
    """What the world noted, see `Turn.noted`; where it noted something again, the last of it."""
    drawn: Sequence[Rollout] = ()
    """Every completion drawn in the episode, if requested."""

    @property
    def rollout(self) -> Rollout:
        """The transcript of the player that spoke first."""
        return next(iter(self.said.values()))


class Tool(ABC):
    """A tool that a method can call by name while it answers."""

    slow: ClassVar[bool] = True
    """Whether a call may wait for something: many calls then run at once, in threads. False for plain arithmetic."""

    @abstractmethod
    def call(self, text: str) -> str:
        """The tool's reply to a text. The same text gives the same reply."""
