"""The model in use: the policy, what a method is handed (context, session), and the refinement that answers with it."""

from __future__ import annotations

import itertools
import math
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from selfimprove.costs import NOTHING, Cost, Given
from selfimprove.episodes import Episode, Played, Tool
from selfimprove.errors import RecipeError
from selfimprove.interfaces.engine import Engine
from selfimprove.interfaces.requests import Log, Sampling
from selfimprove.interfaces.task import Roles
from selfimprove.needs import Hold, Needs
from selfimprove.records import (
    Checkpoint,
    Prompt,
    Rollout,
    digest,
)
from selfimprove.rounds import Verify

T = TypeVar("T")


class Copies(Protocol):
    """Who trains copies of weights that are used for a moment, see `Policy.adapted`."""

    most: int
    """Copies that may exist at a time."""

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
    hold: Hold | None = None
    """Holds the method that uses it to what the method declares; None: the program itself uses it."""
    calls: Iterator[int] = field(default_factory=itertools.count, compare=False, repr=False)

    def held(self, method: Any) -> Policy:
        """The same policy in the hands of a method, which is refused what its `needs` do not name."""
        return replace(self, hold=Hold.of(method))

    def seed_at(self, *place: Any) -> int:
        """The seed of a place in the step; it follows from the place alone."""
        return int(digest([self.seed, *place])[:8], 16)

    def sample(
        self, prompts: Sequence[Prompt], n: int = 1, sampling: Sampling = Sampling(), role: str = "solve"
    ) -> list[list[Rollout]]:
        """n raw completions of each prompt, in the order of the prompts. The engine never sees a reference answer.

        Args:
            role: in which of `ROLES` the prompts ask; a recipe may give it to another engine, or to weights of its own.

        Raises:
            Refused: the method has not declared what it uses.
        """
        if self.hold is not None:
            self.hold.use("roles", role)
            self.hold.use_all(sampling.needs())
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
        if self.hold is not None:
            self.hold.use("statistics", statistic)
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
        if self.hold is not None:
            self.hold.use("engine", "copies")
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
        return self.desk.play(self, problems, Playing(n=n))

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
    world: Callable[[Prompt], Episode]
    """Opens the world of a problem, for a method that lets its own weights play; `play` does all of it."""
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

    def held(self, method: Any) -> Context:
        """The same in the hands of a method, which is refused what its `needs` do not name."""
        return replace(self, policy=self.policy.held(method))

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
        how = Playing(n=n, world=world, turns=turns, sampling=sampling, training=True)
        return self.policy.desk.play(policy, problems, how)


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
        """What a tool says; a tool that breaks says `error: ...`.

        Raises:
            Spent: the budget pays for no call.
        """
        ...

    async def play(self, world: Episode, turns: int = 16, sampling: Sampling = Sampling()) -> Played:
        """Speak in a world, up to so many times, straight from the weights in the role of each player."""
        ...

    async def all(self, routines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Several at once for the same item; results in the order given."""
        ...

    def adapted(
        self, rows: Sequence[Rollout], schedule: Any, *, of: Policy | None = None
    ) -> AbstractAsyncContextManager[Policy]:
        """`async with session.adapted(rows, schedule) as copy`: what `Policy.adapted` gives, as soon as one may exist.

        Raises:
            Refused: a routine that holds a copy asks for another one, and no more may exist.
        """
        ...

    def other(self, name: str) -> Policy:
        """Another policy of the run, of plain samples.

        Args:
            name: `start`, the weights of round 0; `champion`, the best that were certified before this round; `before`,
                those that the session's own were trained from.
        """
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
    calls: float = math.inf
    """Calls of tools."""

    @property
    def unlimited(self) -> bool:
        """Whether it bounds nothing."""
        return self.tokens == self.completions == self.calls == math.inf


class Spent(Exception):
    """The budget buys nothing more. A method need not catch it: its answer is then `session.best`."""


@dataclass(frozen=True, kw_only=True)
class Playing:
    """How the worlds of problems are played in."""

    n: int = 1
    """Episodes with each problem, those of a problem side by side."""
    world: Callable[[Prompt], Episode] | None = None
    """What opens a problem; None: the task."""
    turns: int = 16
    """Times that the players speak at most, all together."""
    sampling: Sampling = Sampling()
    """How plain samples are drawn, where no refinement says it."""
    opponents: Mapping[str, Policy] = field(default_factory=dict)
    """Other policies, by the player for which they speak; what they draw counts for no budget."""
    training: bool = False
    """Whether a data stage plays: without the budget of an answer, and `Played.drawn` is wanted."""


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

    def play(self, policy: Policy, problems: Sequence[Prompt], how: Playing) -> list[Played]:
        """See `Policy.play` and `Context.play`."""
        ...


@dataclass
class Refinement(ABC):
    """Survey section 5: how the model is used at inference time; the weights stay as they are.

    In a chain the last one answers, and the attempts of each are made by those before it.
    """

    joint: ClassVar[bool] = False
    """Whether it sees all problems of a set before it answers the first, see `together`. The verdict of a run says so:
    its exam then measures a model that was adapted on the exam's questions, without answers."""

    def needs(self) -> Needs:
        """What it uses beside attempts and plain samples."""
        return Needs()

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

    @asynccontextmanager
    async def together(self, prompts: Sequence[Prompt], session: Session) -> AsyncIterator[Policy]:
        """Around all answers to a set of problems: other weights to give them with. Only a joint method has one.

        Args:
            prompts: all problems of the set, without reference answers, sorted by id.
        """
        yield session.policy

    def together_cost(self, given: Given) -> Cost:
        """The most that `together` takes, for `given.flow.records` problems."""
        return NOTHING

    @abstractmethod
    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        """The answer to one problem, which has no reference answer here. It awaits nothing but the session."""
