"""The lifecycle on two screens: one abstract class per slot of a recipe, and what a method is handed.

A method is a dataclass: its fields are its options, its one verb is the algorithm. Read this file first.
Order of a round: acquisition -> reward -> selection -> optimization -> refinement -> evaluation -> gate -> controller.
"""

from __future__ import annotations

import itertools
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from selfimprove.bounds import bounded
from selfimprove.costs import NOTHING, Cost, Flow, Given
from selfimprove.episodes import Episode, Played, Question, Tool
from selfimprove.errors import RecipeError
from selfimprove.records import (
    Alert,
    Checkpoint,
    Decision,
    Message,
    Prompt,
    Record,
    Report,
    Rollout,
    digest,
)
from selfimprove.rounds import Evidence, Exam, Round, Stop, Verify

T = TypeVar("T")
REQUIRED: Any = "???"
"""The default of an option that a recipe has to set; OmegaConf's mark for it."""


# ---- what every method may be handed -----------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to draw completions; the names are vLLM's and TRL's. Temperature 0 is greedy."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    max_completion_length: int | None = None
    """Tokens per completion; None leaves it to the engine."""
    stop: tuple[str, ...] = ()
    """Strings that end a completion: with the token that completes one, which text and ids keep."""
    note: tuple[str, ...] = ()
    """Statistics to note for each token while drawing, in `Rollout.noted`, as `Engine.logprobs_of` names them. An
    engine that would have to work one out anew leaves it out."""
    tops: int = 0
    """How many of the likeliest tokens to note at each place, in `Rollout.tops`."""
    shape: Shape | None = None
    """What makes the distribution that is drawn from; None: the policy's own."""


GREEDY = Sampling(temperature=0.0)


class Shape(ABC):
    """A frozen dataclass that makes one next-token distribution of several, inside the engine's own loop.

    Temperature and filters work on what it makes; `Rollout.logprobs` stays what the policy itself says of the tokens.
    """

    beside: ClassVar[tuple[str, ...]] = ()
    """Names of other policies that run in step with the one that draws, on the same tokens; see `Ask.beside`."""

    @abstractmethod
    def apply(self, logprobs: Mapping[str, Any]) -> Any:
        """Log-probabilities (rows, vocabulary) to draw from, as a torch tensor; -inf for what must not be drawn.

        Args:
            logprobs: tensors of the same shape, each row summing to 1 in probability: "" is the policy that draws, the
                others have the names in `beside`.
        """


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request for completions of one prompt; one call of `Engine.draw` takes many, all different if need be.

    A last message of the assistant is the beginning of the completion; its `ids`, where it has them, are the tokens
    that it goes on from.
    """

    checkpoint: Checkpoint
    prompt: Prompt
    """Without its reference answer, see `Prompt.blind`."""
    n: int = 1
    first: int = 0
    """Number of the first sample: 4 from 0 on and 4 from 4 on are the 8 of one call with the same seed."""
    sampling: Sampling = Sampling()
    seed: int = 0
    beside: Mapping[str, Checkpoint] = field(default_factory=dict)
    """The policies that `sampling.shape` names in its `beside`."""


class Log(Protocol):
    """Where a method reports progress and numbers."""

    def progress(self, done: int, total: int, unit: str = "") -> None: ...
    def metric(self, name: str, value: float) -> None: ...
    def note(self, text: str) -> None: ...


class Copies(Protocol):
    """Who trains copies of weights that are used for a moment, see `Policy.adapted`."""

    def trained(
        self, start: Checkpoint, rows: Sequence[Rollout], schedule: Any
    ) -> AbstractContextManager[Checkpoint]: ...


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The model as it stands: weights, the engine that runs them and the refinements used with them."""

    checkpoint: Checkpoint
    engine: Engine
    chain: tuple[Refinement, ...]
    """The refinements in their order: the last one answers, each makes its attempts by those before it."""
    states: tuple[dict[str, Any], ...]
    """What each of them learned in `fit`."""
    desk: Desk
    """What serves the sessions of routines."""
    answer_of: Callable[[str], str | None]
    """The task's answer extraction: the final answer in a completion, or None."""
    seed: int
    log: Log
    copies: Copies | None = None
    """Who trains copies of the weights; None where the engine runs no weights of ours."""
    helpers: Mapping[str, Engine] = field(default_factory=dict)
    """Engines that answer in a role instead, by role; they see no checkpoint of the run where they have their own."""
    calls: Iterator[int] = field(default_factory=itertools.count, compare=False, repr=False)

    def seed_at(self, *place: Any) -> int:
        """The seed of a place in the step; it follows from the place alone."""
        return int(digest([self.seed, *place])[:8], 16)

    def sample(
        self, prompts: Sequence[Prompt], n: int = 1, sampling: Sampling = Sampling(), role: str = "solve"
    ) -> list[list[Rollout]]:
        """n raw completions of each prompt, in the order of the prompts. The engine never sees a reference answer.

        Args:
            role: in which of `ROLES` the prompts ask; a recipe may give it to another engine, or to weights of its own.
        """
        seed = self.seed_at(next(self.calls))  # two equal calls in one step draw anew
        blind = [prompt.blind() for prompt in prompts]
        engine = self.helpers.get(role, self.engine)
        groups = engine.sample(self.checkpoint.of(role), blind, n, sampling, seed, self.log)
        return [
            [replace(rollout, prompt=prompt, role=role) for rollout in group]
            for prompt, group in zip(prompts, groups, strict=True)
        ]

    def logprobs_of(self, rollouts: Sequence[Rollout], statistic: str = "logprob") -> list[list[float]]:
        """What `Engine.logprobs_of` says of these weights, of each rollout those of its role.

        The engine never sees a reference answer.
        """
        blind = [replace(rollout, prompt=rollout.prompt.blind()) for rollout in rollouts]
        if not self.checkpoint.parts:
            return self.engine.logprobs_of(self.checkpoint, blind, statistic)
        made: list[list[float]] = [[] for _ in blind]
        for role in dict.fromkeys(rollout.role for rollout in blind):
            places = [place for place, rollout in enumerate(blind) if rollout.role == role]
            found = self.engine.logprobs_of(self.checkpoint.of(role), [blind[place] for place in places], statistic)
            for place, numbers in zip(places, found, strict=True):
                made[place] = numbers
        return made

    @contextmanager
    def adapted(self, rows: Sequence[Rollout], schedule: Any) -> Iterator[Policy]:
        """The same policy with a copy of the weights that was trained on these rows; the copy is gone afterwards.

        Args:
            rows: completions to imitate. What the assistant did not say in them, reference answers and notes have no
                part in it. Rows of held-out problems are noted in the run's ledger.
            schedule: a `training.Schedule`; its seed decides all that is random.

        Raises:
            RecipeError: the engine runs no weights of ours; or there are no rows, or too many copies already.
        """
        if self.copies is None or "copies" not in self.engine.can:
            raise RecipeError(
                "this engine runs no copies of the weights, so nothing can be adapted: use engine=transformers or vllm"
            )
        with self.copies.trained(self.checkpoint, rows, schedule) as copy:
            yield replace(self, checkpoint=copy)

    def play(self, problems: Sequence[Prompt], n: int = 1) -> list[Played]:
        """n episodes in the world of each problem, all at once, the refinements speaking; in the order of the problems.

        Equal problems get equal answers. The refinements never see a reference answer.
        """
        return self.desk.play(self, problems, n)

    def answer(self, prompts: Sequence[Prompt]) -> list[Rollout]:
        """One refined answer to each problem; its reward is the mark that the task's world gave."""
        return [played.rollout for played in self.play(prompts)]

    def plain(self) -> Policy:
        """The same weights without refinements: it answers by plain samples."""
        return replace(self, chain=(), states=())


@dataclass(frozen=True, kw_only=True)
class Context:
    """All that a method may use. Nothing else is global, and nothing held out can be reached from here."""

    round: int
    rounds: int
    """Rounds that the recipe plans."""
    seed: int
    folder: Path
    """The one place where the method may write."""
    previous: Path | None
    """The same step's folder one round earlier, for methods that keep state across rounds."""
    policy: Policy
    start: Checkpoint
    """The weights of round 0."""
    problems: Callable[[int | None, int], list[Prompt]]
    """`problems(n, round)`: n training problems drawn for that round; None for all that a finite task has."""
    selection: Callable[[int], list[Prompt]]
    """`selection(n)`: problems to choose by, never to train on; a score on them is too high, see docs/evaluation.md."""
    variants: Callable[[Prompt, int], list[Prompt]]
    """`variants(problem, n)`: up to n other wordings of a problem, with its key and its answer."""
    verify: Verify
    answer_of: Callable[[str], str | None]
    """The task's answer extraction: the final answer in a completion, or None."""
    roles: Roles
    reward: Callable[[Sequence[Rollout]], list[Rollout]]
    """The recipe's reward as a function: rollouts in, the same rollouts with scores out."""
    log: Log
    state: Mapping[str, Any] = field(default_factory=dict)
    """In `Refinement.fit`: what the method had learned for the weights that these were trained from."""
    place: int = 0
    """In `Refinement.fit`: how many refinements stand before the method; they make the attempts of its sessions."""

    def run(
        self, routine: Callable[[Any, Session], Coroutine[Any, Any, T]], items: Sequence[Any], alike: bool = False
    ) -> list[T]:
        """The routine over all items, in their order; whatever they wait for at a time is asked of the engine at once.

        Args:
            routine: `async def routine(item, session)`, which awaits nothing but its session.
            items: JSON values or records; equal items are numbered, so that they draw anew.
            alike: requests that ask the same at a time are answered alike, as by one call of `Policy.sample`.
        """
        return self.policy.desk.run(self.policy, routine, items, self, alike)

    def play(
        self,
        problems: Sequence[Prompt],
        n: int = 1,
        *,
        world: Callable[[Prompt], Episode] | None = None,
        turns: int = 16,
        sampling: Sampling = Sampling(),
    ) -> list[Played]:
        """n episodes with each problem, those of a problem side by side, played by plain samples of the weights.

        Args:
            world: what opens a problem; None: the task.
            turns: times that the players speak at most, all together.

        Raises:
            RecipeError: a problem is held out, and a data stage runs.
        """
        policy = self.policy.plain()
        return self.policy.desk.play(policy, problems, n, world=world, turns=turns, sampling=sampling, keep=True)


class Session(Protocol):
    """What a routine is handed: models, tools and a budget for one item. What takes time is awaited."""

    policy: Policy
    state: Mapping[str, Any]
    """What `Refinement.fit` learned."""
    tools: Mapping[str, Tool]
    """The tools that the task has for the problem."""
    best: Rollout | None
    """The answer if the budget ends now: the first attempt, until the method says better."""

    async def attempts(self, prompt: Prompt, n: int = 1, sampling: Sampling = Sampling()) -> list[Rollout]:
        """n answers by what stands before in the chain; at its head plain samples, the next n of the prompt's stream.

        Raises:
            Spent: the budget pays for none; for less than n, there are fewer.
        """
        ...

    async def draw(
        self,
        prompt: Prompt,
        n: int = 1,
        sampling: Sampling = Sampling(),
        *,
        role: str = "solve",
        of: Policy | None = None,
    ) -> list[Rollout]:
        """n completions straight from the weights.

        Args:
            of: the weights; None: the session's own.

        Raises:
            Spent: the budget pays for none; for less than n, there are fewer.
        """
        ...

    async def tops(
        self, prompt: Prompt, k: int = 20, *, role: str = "solve", of: Policy | None = None
    ) -> dict[str, float]:
        """The k likeliest next tokens with their log-probabilities in nats."""
        ...

    async def logprobs_of(
        self, rollouts: Sequence[Rollout], statistic: str = "logprob", *, of: Policy | None = None
    ) -> list[list[float]]:
        """A number for each token, see `Engine.logprobs_of`; what was noted while drawing is not worked out again."""
        ...

    async def rate(self, rollouts: Sequence[Rollout], by: str) -> list[float | None]:
        """What one of the recipe's rewards says of attempts; it sees no reference answer."""
        ...

    async def rewarded(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """Rollouts with the recipe's whole reward, see `Context.reward`.

        Raises:
            Refused: while a problem is answered.
        """
        ...

    async def call(self, tool: str, text: str) -> str:
        """What a tool says; a tool that breaks says `error: ...`."""
        ...

    async def play(self, world: Episode, turns: int = 16, sampling: Sampling = Sampling()) -> Played:
        """Speak in a world, up to so many times, straight from the weights in the role of each player."""
        ...

    async def all(self, routines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Several at once for the same item; results in the order given."""
        ...

    def other(self, name: str) -> Policy:
        """Another policy of the run: `start`, the weights of round 0."""
        ...

    def words(self, role: str, prompt: Prompt, *parts: str) -> Prompt:
        """How the task words a role: judge and refine take an attempt, hint an answer."""
        ...

    def judgement(self, text: str) -> float | None:
        """The judgement in a reply of the role judge, in [0, 1]; None if it cannot be read."""
        ...

    def answer_of(self, rollout: Rollout) -> str | None:
        """The final answer in a completion, or None."""
        ...

    def mark(self, rollout: Rollout) -> float | None:
        """The task's mark, in data stages and in `fit`.

        Raises:
            Refused: while a problem is answered there is none.
        """
        ...

    @property
    def left(self) -> Budget:
        """What is left of the budget of the item."""
        ...

    @property
    def random(self) -> random.Random:
        """Random numbers that depend on the place of the routine only."""
        ...


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What answering one problem may take; of many together it would depend on their order."""

    tokens: float = math.inf
    """Tokens of all completions drawn for it."""
    completions: float = math.inf

    @property
    def unlimited(self) -> bool:
        """Whether it bounds nothing."""
        return self.tokens == self.completions == math.inf


class Spent(Exception):
    """The budget buys nothing more. A method need not catch it: its answer is then `session.best`."""


class Desk(Protocol):
    """Serves the sessions of routines; `inference.desk` has the one."""

    def run(
        self,
        policy: Policy,
        routine: Callable[[Any, Session], Coroutine[Any, Any, T]],
        items: Sequence[Any],
        context: Context,
        alike: bool = False,
    ) -> list[T]:
        """See `Context.run`."""
        ...

    def play(
        self,
        policy: Policy,
        problems: Sequence[Prompt],
        n: int = 1,
        *,
        world: Callable[[Prompt], Episode] | None = None,
        turns: int = 16,
        sampling: Sampling = Sampling(),
        opponents: Mapping[str, Policy] | None = None,
        keep: bool = False,
    ) -> list[Played]:
        """See `Policy.play` and `Context.play`.

        Args:
            opponents: other policies, by the player for which they speak; what they draw counts for no budget.
            keep: whether `Played.drawn` is wanted.
        """
        ...


class Roles(Protocol):
    """How the task words each role for the model, and how it reads what the model wrote in one.

    A task that lacks a role raises RecipeError.
    """

    def solve(self, problem: str) -> list[Message]: ...
    def hint(self, prompt: Prompt, answer: str) -> list[Message]: ...
    def propose(self, level: int | None) -> list[Message]: ...
    def judge(self, prompt: Prompt, attempt: str) -> list[Message]: ...
    def refine(self, prompt: Prompt, attempt: str) -> list[Message]: ...

    def read_judgement(self, text: str) -> float | None:
        """What a reply to `judge` says of the attempt, in [0, 1]; None where it says nothing that can be read."""

    def read_proposal(self, text: str) -> Prompt | None:
        """The problem that a reply to `propose` states, with its answer where the task can work it out; None: none."""

    def solution(self, prompt: Prompt) -> str | None:
        """A worked reference solution of a problem, as the data or the lessons have it; None: there is none."""


# ---- before the loop ---------------------------------------------------------------------------------------------
@dataclass
class Task(ABC):
    """Problems in splits, the rule that marks an answer, and the words for each role."""

    @abstractmethod
    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        """n problems of a split. A generator draws them anew for each seed; a finite set gives part i of k, unmixed."""

    unbounded: ClassVar[int] = 1500
    """Problems that `problems(split, None, ...)` gives where the task makes as many as are asked for."""

    def size(self, split: str) -> int | None:
        """How many problems a split has, found without a network; None: as many as are asked for, or nobody knows."""
        return None

    def published(self) -> str:
        """The data set whose size comes from a table, because nothing is loaded before a run; "" where none does."""
        return ""

    @abstractmethod
    def verify(self, prompt: Prompt, text: str) -> float | None:
        """How right a completion is, in [0, 1]; None when the reference answer itself cannot be read."""

    @abstractmethod
    def answer_of(self, text: str) -> str | None:
        """The final answer in a completion, or None."""

    @abstractmethod
    def roles(self) -> Roles:
        """The words of each role."""

    def open(self, problem: Prompt) -> Episode:
        """The world of a problem; a plain one asks once and marks the reply."""
        return Question(problem, self.verify)

    def tools(self, problem: Prompt) -> Mapping[str, Tool]:
        """What a method may call while it answers, by name; made of public facts only, see `Prompt.given`."""
        return {}

    def probes(self) -> dict[str, Task]:
        """Tasks beside the training, by name: `probe/...` are abilities to keep, `ood/...` families never trained."""
        return {}

    def variants(self, prompt: Prompt, kind: str, n: int, seed: int) -> list[Prompt]:
        """Up to n other forms of a problem, in its split; none where the task knows no way to make them.

        Args:
            kind: `same` keeps key and answer, `counterfactual` changes the problem so that the answer changes.
        """
        return []

    def preflight(self) -> list[str]:
        """Read what the options name, before a run begins; remarks on it that a user should see.

        Raises:
            UserError: it cannot be used.
        """
        return []

    def demonstrations(self, role: str, n: int, seed: int) -> list[Rollout]:
        """n worked examples of a role, easy ones first, for tasks that the tiny model can be bootstrapped on."""
        raise RecipeError("this task has no worked examples to bootstrap a tiny model on; use model=pretrained")


@dataclass
class Model(ABC):
    """Where the weights of round 0 come from."""

    cached: ClassVar[bool] = False
    """Whether what `build` writes is kept for later runs of the same content."""

    def preflight(self) -> list[str]:
        """Look at what the options name, before a run begins; remarks on it that a user should see.

        Raises:
            UserError: it cannot be used.
        """
        return []

    def cost(self, given: Given) -> Cost:
        """The most that `build` takes."""
        return NOTHING

    def context(self) -> int | None:
        """Tokens that a prompt and its completion can have together, where that is known before a run begins."""
        return None

    def cpu_threads(self) -> int:
        """CPU threads that a run computes on; 0 leaves it to torch."""
        return 0

    def weights(self) -> int | None:
        """Bytes of the weights on the disk, where that is known before a run begins."""
        return None

    @abstractmethod
    def build(self, task: Task, engine: Engine, folder: Path, seed: int, log: Log) -> Checkpoint:
        """Write or find a `save_pretrained` folder and return it."""


ABILITIES = ("stop", "tops", "shape", "logprobs", "embed", "copies")
"""What engines differ in: stop strings; the likeliest tokens and statistics noted while drawing; a `Shape`; numbers for
given tokens (`logprobs_of`); embeddings; weights that were made a moment ago."""
ROLES = ("propose", "hint", "judge", "refine")
"""Roles that a recipe may give to another engine than the one that runs the weights; who solves is what is trained."""


@dataclass
class Engine(ABC):
    """Something that can run a checkpoint."""

    roles: list[str] = field(default_factory=list, kw_only=True)
    """With a second engine in the recipe: roles that this one answers in, of propose, hint, judge and refine."""
    portion: ClassVar[int] = 8192
    """Completions asked for at a time: after each portion they are safe from a kill, and the batches run empty once."""
    can: ClassVar[frozenset[str]] = frozenset()
    """What it has beside plain samples, of `ABILITIES`; what is asked for beside that is refused in one line."""

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        """The n completions of each ask. Equal asks give equal completions, whatever else is in the call.

        An engine defines this verb. One that defines `sample` only is asked once for each sampling and seed.

        Raises:
            RecipeError: an ask needs what this engine does not have.
        """
        calls: dict[str, list[int]] = {}
        for i, ask in enumerate(asks):
            calls.setdefault(repr((ask.checkpoint.path, ask.sampling, ask.seed)), []).append(i)
        groups: list[list[Rollout]] = [[] for _ in asks]
        for places in calls.values():
            some, one = [asks[i] for i in places], asks[places[0]]
            n = max(ask.first + ask.n for ask in some)
            drawn = self.sample(one.checkpoint, [ask.prompt for ask in some], n, one.sampling, one.seed, log)
            for i, ask, group in zip(places, some, drawn, strict=True):
                groups[i] = group[ask.first : ask.first + ask.n]
        return groups

    def sample(
        self, checkpoint: Checkpoint, prompts: Sequence[Prompt], n: int, sampling: Sampling, seed: int, log: Log
    ) -> list[list[Rollout]]:
        """n completions of each prompt, all drawn in one way: the same prompt and seed give the same in any batch."""
        asks = [Ask(checkpoint=checkpoint, prompt=one, n=n, sampling=sampling, seed=seed) for one in prompts]
        return self.draw(asks, log)

    @abstractmethod
    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        """A number in nats for each completion token, given the prompt and the tokens before it.

        Args:
            statistic: `logprob` is the token's log-probability; of the whole next-token distribution, `entropy`, or
                `self_certainty`: the divergence KL(uniform || distribution).

        Raises:
            RecipeError: this engine does not have that statistic.
        """

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        """The mean of the last hidden states over the tokens of each text: a numpy array (texts, width) of float32.

        Raises:
            RecipeError: this engine has no embeddings.
        """
        raise RecipeError(f"engine.{type(self).__name__.lower()} has no embeddings: use engine=transformers")

    def longest(self) -> int:
        """Tokens of a completion at most where `Sampling` leaves it to the engine: its option of that name, if any."""
        return vars(self).get("max_completion_length", 512)

    def sharing(self) -> int:
        """GPUs that share one copy of the weights."""
        return 1

    def close(self) -> None:
        """Give memory back."""

    def preflight(self) -> list[str]:
        """Look for what the options need, before a run begins; remarks on it that a user should see.

        Raises:
            DeviceError: the device is not on this machine.
            UserError: something else is not there.
        """
        return []


@dataclass
class Remote(Engine):
    """An engine that pays for each answer, so that none may be lost with a step that does not come to its end."""

    @abstractmethod
    def ask(self, asks: Sequence[Ask], log: Log, answers: MutableMapping[str, Any]) -> list[list[Rollout]]:
        """What `draw` gives; each answer is in `answers` as soon as it came, and one that is there is not asked for.

        Args:
            answers: plain values by name, with those of a former attempt at the step; kept until the step is done.
        """


# ---- the stages of a round ---------------------------------------------------------------------------------------
@dataclass
class Acquisition(ABC):
    """Survey section 2: where training data comes from. `consumes = None` starts a chain."""

    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any]
    asks: ClassVar[tuple[str, ...]] = ()
    """The `ROLES` in which it asks; a recipe may give them to another engine."""

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
    asks: ClassVar[tuple[str, ...]] = ()
    """The `ROLES` in which it asks; a recipe may give them to another engine."""

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
    alone: ClassVar[bool] = False
    """Whether it trains in one process only."""

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
class Refinement(ABC):
    """Survey section 5: how the model is used at inference time; the weights stay as they are.

    In a chain the last one answers, and the attempts of each are made by those before it.
    """

    def cost(self, given: Given) -> Cost:
        """The most that one answer takes; `given.attempt` is one completion, or one answer of what stands before."""
        return given.attempt

    def fit_cost(self, given: Given) -> Cost:
        """The most that `fit` takes in a round."""
        return NOTHING

    def fit(self, context: Context) -> dict[str, Any]:
        """Learn what to carry into inference (a prompt, a memory), as JSON. Most methods learn nothing.

        What is learned belongs to the new weights: `context.state` is what belonged to those that they came from.
        """
        return {}

    @abstractmethod
    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        """The answer to one problem, which has no reference answer here. It awaits nothing but the session."""


@dataclass
class Evaluation(ABC):
    """Survey section 6: how good the refined model is on problems that no stage has seen."""

    asks: ClassVar[tuple[str, ...]] = ()
    """The `ROLES` in which it asks; a recipe may give them to another engine."""

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
