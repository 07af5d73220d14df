"""The abstract class of each stage of a round, and of launchers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import NOTHING, Cost, Flow, Given
from selfimprove.interfaces.policy import Context, Policy
from selfimprove.interfaces.task import Roles
from selfimprove.needs import Needs
from selfimprove.records import Alert, Checkpoint, Decision, Prompt, Record, Report, Rollout
from selfimprove.rounds import Evidence, Exam, Round, Stop


@dataclass
class Acquisition(ABC):
    """Survey section 2: where training data comes from. `consumes = None` starts a chain."""

    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any]

    def needs(self) -> Needs:
        """What it uses besides plain samples."""
        return Needs()

    def preflight(self) -> list[str]:
        """Check before a run that what the options name can be used, or raise UserError; returns notes."""
        return []

    def cost(self, given: Given) -> Cost:
        """The largest cost for the incoming records."""
        return NOTHING

    def gives(self, given: Given) -> Flow:
        """The largest output: an upper bound of its records."""
        return given.flow

    @abstractmethod
    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]: ...


@dataclass
class Reward(ABC):
    """Survey section 4.3.2: the signal that says which rollout is better."""

    reads_answers: ClassVar[bool] = False
    """Whether it marks by the task's rule, which takes reference answers."""
    weight: float = 1.0
    """Share of this reward in the sum when a recipe names several; 0 makes it a monitor."""
    normalize: bool = False
    """Standardize the rewards of each prompt before they are summed (GDPO, arXiv:2601.05242)."""

    def needs(self) -> Needs:
        """What it uses besides plain samples."""
        return Needs()

    def cost(self, given: Given) -> Cost:
        """The largest cost of rating the incoming completions; those of one prompt come together."""
        return NOTHING

    @abstractmethod
    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        """Rewards of all completions of each prompt, in the same order. None if a reward cannot be given."""


@dataclass
class Judging(Reward):
    """A reward from a model. It must pass an audit form before it selects data, see `measures/judge_reliability.py`."""

    frozen: bool = True
    """Let the weights of round 0 judge in every round; otherwise the policy that the round trains from."""
    min_youden: float = 0.1
    """Audit form: the lower bound of TPR - FPR must be above this."""
    min_auc: float = bounded(0.6, 0, 1)
    """Audit form: the smallest AUC within a problem."""
    trust: bool = False
    """Use the judge even if it fails its audit form; the run says so."""


@dataclass
class Grading(Judging):
    """A judge of single attempts: methods that train the judge ask what it asks."""

    @abstractmethod
    def question(self, rollout: Rollout, roles: Roles) -> Prompt:
        """What it asks about an attempt."""

    @abstractmethod
    def read(self, text: str, roles: Roles) -> float | None:
        """The judgement in a reply, in [0, 1]; None if it is unreadable."""


@dataclass
class Selection(ABC):
    """Survey section 3: which of the data is worth training on."""

    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Rollout
    looped: ClassVar[bool] = False
    """Whether it goes by what only a loop has: rewards, several attempts at a problem, references, earlier rounds."""

    def needs(self) -> Needs:
        """What it uses besides plain samples."""
        return Needs()

    def cost(self, given: Given) -> Cost:
        """The largest cost for the incoming records."""
        return NOTHING

    def gives(self, given: Given) -> Flow:
        """The largest output: an upper bound of its records."""
        return given.flow

    @abstractmethod
    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]: ...


@dataclass
class Optimization(ABC):
    """Survey section 4: turn data into new weights, written to context.folder / "model".

    In a chain the first method takes records. Each later one takes the previous Checkpoint as its only record.
    """

    consumes: ClassVar[Any]
    chooses: ClassVar[str] = ""
    """What a sampler may choose for its steps: `prompts`, whose completions it draws, or `rows`; empty: nothing."""

    def needs(self) -> Needs:
        """What it uses besides plain samples."""
        return Needs()

    def steers_itself(self) -> str:
        """The option by which it chooses rows itself, so that no sampler can; empty: it does not."""
        return ""

    def choice(self, given: Given) -> tuple[int, int]:
        """What a sampler chooses for one optimizer step, and among how many: for a method that lets one choose rows."""
        return 0, given.flow.records

    def preflight(self) -> list[str]:
        """Check before a run that everything the options need is available; returns notes for the user.

        Raises:
            UserError: something is missing.
        """
        return []

    def cost(self, given: Given) -> Cost:
        """The largest cost of training on the incoming records, including its own completions."""
        return NOTHING

    @abstractmethod
    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint: ...


@dataclass
class Evaluation(ABC):
    """Survey section 6: evaluation of the refined model on problems that no stage has seen."""

    def needs(self) -> Needs:
        """What it uses besides plain samples."""
        return Needs()

    def cost(self, given: Given) -> Cost:
        """The largest cost of evaluating one policy on the given problems."""
        return NOTHING

    @abstractmethod
    def evaluate(self, policy: Policy, exam: Exam) -> Report: ...


@dataclass
class Alarm(ABC):
    """Survey sections 6 and 7: watches for one known failure in every round."""

    @abstractmethod
    def check(self, evidence: Evidence) -> list[Alert]:
        """The alerts of a round, if any: level 1 is shown, level 2 vetoes the candidate."""


@dataclass
class Gate(ABC):
    """Survey section 6: the decision on the candidate."""

    lagged: ClassVar[bool] = False
    """Whether a policy is certified a round after it was accepted; the last one then needs a `confirm`."""

    def error_rate(self) -> float | None:
        """Upper bound on the probability of any false certificate in a run, if the gate guarantees one."""
        return None

    def left(self, history: Sequence[Round]) -> float | None:
        """How much of `error_rate` is left for rounds added after `history`; None if the gate guarantees none."""
        return None

    def provisional(self) -> bool:
        """Whether training may continue from an uncertified candidate; then an exam may have three policies."""
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
        """After the last round, decide on an incumbent that is ahead of the champion, on new problems."""
        raise NotImplementedError


@dataclass
class Controller(ABC):
    """Survey section 6: sets options of the next round, or ends the run."""

    def largest(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The options that it may raise at the cost of later rounds: {"slot.method.option": largest value}."""
        return {}

    @abstractmethod
    def next(self, history: Sequence[Round], settings: dict[str, Any]) -> dict[str, Any] | Stop:
        """Overrides for the next round as {"slot.method.option": value}, or Stop; `settings` is the current recipe."""


@dataclass
class Launcher(ABC):
    """Decides where a step runs."""

    elsewhere: ClassVar[bool] = False
    """Whether steps may run on other machines, which may have other devices."""

    def preflight(self) -> list[str]:
        """Check before a run that everything the options need is available; returns notes for the user.

        Raises:
            UserError: something is missing.
        """
        return []

    def together(self) -> int:
        """Processes that run a training step together."""
        return 1

    @abstractmethod
    def launch(self, step: Callable[[], None], command: Sequence[str]) -> None:
        """Run one step: call it here, or run the equivalent command in another process."""
