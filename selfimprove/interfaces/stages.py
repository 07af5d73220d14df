"""One abstract class for each stage of a round, and for where a step runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import NOTHING, Cost, Flow, Given
from selfimprove.interfaces.policy import Context, Policy
from selfimprove.needs import Needs
from selfimprove.records import (
    Alert,
    Checkpoint,
    Decision,
    Prompt,
    Record,
    Report,
    Rollout,
)
from selfimprove.rounds import Evidence, Exam, Round, Stop


@dataclass
class Acquisition(ABC):
    """Survey section 2: where training data comes from. `consumes = None` starts a chain."""

    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any]

    def needs(self) -> Needs:
        """What it uses beside plain samples."""
        return Needs()

    def cost(self, given: Given) -> Cost:
        """The most that it takes to deal with the records that come in."""
        return NOTHING

    def gives(self, given: Given) -> Flow:
        """The most that comes out."""
        return given.flow

    @abstractmethod
    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]: ...


@dataclass
class Reward(ABC):
    """Survey section 4.3.2: the signal that says which rollout is better."""

    weight: float = 1.0
    """Share of this reward in the sum when a recipe names several; 0 makes it a monitor."""
    normalize: bool = False
    """Whether its scores of one prompt get mean 0 and deviation 1 before they are summed (GDPO, arXiv:2601.05242)."""

    def needs(self) -> Needs:
        """What it uses beside plain samples."""
        return Needs()

    def cost(self, given: Given) -> Cost:
        """The most that it takes to rate the completions that come in; those of one prompt come together."""
        return NOTHING

    @abstractmethod
    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        """Scores of all completions of each prompt, in the same order. None: cannot be scored."""


@dataclass
class Judging(Reward):
    """A reward that a model gives: before it selects data it must pass an audit form, see `judging`."""

    frozen: bool = True
    """Whether the weights of round 0 judge in every round; else the policy that the round trains from."""
    min_youden: float = 0.1
    """Audit form: the share of right attempts that pass, less that of wrong ones, is above this by its lower bound."""
    min_auc: float = bounded(0.6, 0, 1)
    """Audit form: how often a right attempt must score above a wrong one at the same problem."""
    trust: bool = False
    """Go on with a judge that did not pass its audit form; the run says so."""


@dataclass
class Selection(ABC):
    """Survey section 3: which of the data is worth training on."""

    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Rollout

    def needs(self) -> Needs:
        """What it uses beside plain samples."""
        return Needs()

    def cost(self, given: Given) -> Cost:
        """The most that it takes to deal with the records that come in."""
        return NOTHING

    def gives(self, given: Given) -> Flow:
        """The most that comes out."""
        return given.flow

    @abstractmethod
    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]: ...


@dataclass
class Optimization(ABC):
    """Survey section 4: data into new weights, written to context.folder / "model".

    In a chain the first takes records. Each later one takes the Checkpoint of the one before, as its only record.
    """

    consumes: ClassVar[Any]

    def needs(self) -> Needs:
        """What it uses beside plain samples."""
        return Needs()

    def preflight(self) -> list[str]:
        """Look for what the options need, before a run begins; remarks on it that a user should see.

        Raises:
            UserError: it is not there.
        """
        return []

    def cost(self, given: Given) -> Cost:
        """The most that it takes to train on the records that come in, its own completions included."""
        return NOTHING

    @abstractmethod
    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint: ...


@dataclass
class Evaluation(ABC):
    """Survey section 6: how good the refined model is on problems that no stage has seen."""

    def needs(self) -> Needs:
        """What it uses beside plain samples."""
        return Needs()

    def cost(self, given: Given) -> Cost:
        """The most that it takes to examine one policy on the problems that come in."""
        return NOTHING

    @abstractmethod
    def evaluate(self, policy: Policy, exam: Exam) -> Report: ...


@dataclass
class Alarm(ABC):
    """Survey sections 6 and 7: a known way to fail, watched for in every round."""

    @abstractmethod
    def check(self, evidence: Evidence) -> list[Alert]:
        """Nothing, or what is wrong: level 1 is shown, level 2 vetoes the candidate."""


@dataclass
class Gate(ABC):
    """Survey section 6: what becomes of the candidate."""

    lagged: ClassVar[bool] = False
    """Whether a policy is certified a round after it was accepted; the last one then needs a `confirm`."""
    vetoes: ClassVar[bool] = True
    """Whether an alert of level 2 keeps a candidate from being accepted or certified."""

    def error_rate(self) -> float | None:
        """The chance of any false certificate in a run that it keeps to, where it keeps to one."""
        return None

    def provisional(self) -> bool:
        """Whether a candidate may be trained from before it is certified: then three policies can stand in an exam."""
        return self.lagged

    @abstractmethod
    def decide(
        self,
        champion: Report,
        incumbent: Report,
        candidate: Report,
        alerts: Sequence[Alert],
        history: Sequence[Round],
        rounds: int,
    ) -> Decision:
        """The reports are measured on the same fresh gate problems; history holds the earlier rounds."""

    def confirm(self, champion: Report, incumbent: Report, history: Sequence[Round]) -> Decision:
        """After the last round: an incumbent that is ahead of the champion, on a form of its own."""
        raise NotImplementedError


@dataclass
class Controller(ABC):
    """Survey section 6: what the next round does."""

    def largest(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What it may set that makes a later round cost more: {"slot.method.option": largest value}."""
        return {}

    @abstractmethod
    def next(self, history: Sequence[Round], settings: dict[str, Any]) -> dict[str, Any] | Stop:
        """Overrides for the next round as {"slot.method.option": value}, or Stop; settings is the recipe in force."""


@dataclass
class Launcher(ABC):
    """Where a step runs."""

    elsewhere: ClassVar[bool] = False
    """Whether steps may run on other machines, which may have other devices."""

    def preflight(self) -> list[str]:
        """Look for what the options need, before a run begins; remarks on it that a user should see.

        Raises:
            UserError: it is not there.
        """
        return []

    def together(self) -> int:
        """Processes that carry out a training step together."""
        return 1

    @abstractmethod
    def launch(self, step: Callable[[], None], command: Sequence[str]) -> None:
        """Run one step: call it here, or run the equal command in a process of its own."""
