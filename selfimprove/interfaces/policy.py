"""The model in use: the policy, the context and session that a method gets, and the refinement that answers."""

from __future__ import annotations

import itertools
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from selfimprove.costs import NOTHING, Cost, Given
from selfimprove.episodes import Episode, Played, Tool
from selfimprove.errors import RecipeError
from selfimprove.interfaces.engine import Engine
from selfimprove.interfaces.requests import Log, Sampling
from selfimprove.interfaces.sampler import Sampler
from selfimprove.interfaces.task import Roles
from selfimprove.needs import Hold, Needs
from selfimprove.records import (
    Checkpoint,
    Prompt,
    Record,
    Rollout,
    changed,
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
    """The model in use: weights, the engine that runs them, and the refinements used with them."""

    checkpoint: Checkpoint
    engine: Engine
    chain: tuple[Refinement, ...]
    """The refinements in order: the last one answers, and each gets its attempts from those before it."""
    states: tuple[dict[str, Any], ...]
    """The state that each of them learned in `fit`."""
    desk: Desk
    """Serves the sessions of routines."""
    answer_of: Callable[[str], str | None]
    """The task's answer extraction: the final answer in a completion, or None."""
    seed: int
    log: Log
    copies: Copies | None = None
    """Trains copies of the weights; None if the engine does not run the run's weights."""
    helpers: Mapping[str, Engine] = field(default_factory=dict)
    """Other engines by the role that they answer in; one with its own model ignores the run's checkpoint."""
    hold: Hold | None = None
    """Enforces the declared needs of the method that uses it; None if the program itself uses it."""
    calls: Iterator[int] = field(default_factory=itertools.count, compare=False, repr=False)

    def held(self, method: Any) -> Policy:
        """The same policy for a method, which is refused everything that its `needs` do not name."""
        return replace(self, hold=Hold.of(method))

    def seed_at(self, *place: Any) -> int:
        """The seed of a place in the step; it depends on the place alone."""
        return int(digest([self.seed, *place])[:8], 16)

    def sample(
        self, prompts: Sequence[Prompt], n: int = 1, sampling: Sampling = Sampling(), role: str = "solve"
    ) -> list[list[Rollout]]:
        """n raw completions of each prompt, in the order of the prompts. The engine never sees a reference answer.

        Args:
            role: the role of the prompts; a recipe may give it to another engine or to other weights.

        Raises:
            Refused: the method has not declared what it uses.
        """
        if self.hold is not None:
            self.hold.use("roles", role)
            self.hold.use_all(sampling.needs())
        seed = self.seed_at(next(self.calls))  # two equal calls in one step draw different samples
        blind = [prompt.blind() for prompt in prompts]
        engine = self.helpers.get(role, self.engine)
        groups = engine.sample(self.checkpoint.of(role), blind, n, sampling, seed, self.log)
        return [
            [changed(rollout, prompt=prompt, role=role) for rollout in group]
            for prompt, group in zip(prompts, groups, strict=True)
        ]

    def logprobs_of(self, rollouts: Sequence[Rollout], statistic: str = "logprob") -> list[list[float]]:
        """What `Engine.logprobs_of` says of these weights, of each rollout those of its role.

        The engine never sees a reference answer.
        """
        if self.hold is not None:
            self.hold.use("statistics", statistic)
        blind = [changed(rollout, prompt=rollout.prompt.blind()) for rollout in rollouts]
        if not self.checkpoint.parts:
            return self.engine.logprobs_of(self.checkpoint, blind, statistic)
        made: list[list[float]] = [[] for _ in blind]
        for role in dict.fromkeys(rollout.role for rollout in blind):
            places = [place for place, rollout in enumerate(blind) if rollout.role == role]
            found = self.engine.logprobs_of(self.checkpoint.of(role), [blind[place] for place in places], statistic)
            for place, numbers in zip(places, found, strict=True):
                made[place] = numbers
        return made

    def embed(self, texts: Sequence[str]) -> Any:
        """What `Engine.embed` makes of these texts with the weights that solve: a numpy array (texts, width)."""
        if self.hold is not None:
            self.hold.use("engine", "embed")
        return self.engine.embed(self.checkpoint, texts)

    @contextmanager
    def adapted(self, rows: Sequence[Rollout], schedule: Any) -> Iterator[Policy]:
        """The same policy with a copy of the weights trained on these rows; the copy is removed afterwards.

        Args:
            rows: completions to imitate; only the assistant's messages are learned. Reference answers and `info` are
                removed first. The run's ledger records rows of held-out problems.
            schedule: a `training.Schedule`; its seed decides everything random.

        Raises:
            RecipeError: the engine does not run the run's weights, there are no rows, or too many copies exist.
        """
        with self._trains().trained(self.checkpoint, rows, schedule) as copy:
            yield replace(self, checkpoint=copy)

    def weights(self) -> Checkpoint:
        """The weights, for a method that opens them itself, such as for gradients; it declares the ability `copies`.

        Raises:
            RecipeError: the engine does not run the run's weights.
        """
        self._trains()
        return self.checkpoint

    def _trains(self) -> Copies:
        if self.hold is not None:
            self.hold.use("engine", "copies")
        if self.copies is None or "copies" not in self.engine.can:
            raise RecipeError(
                "this engine runs no copies of the weights, so nothing can be adapted: use engine=transformers or vllm"
            )
        return self.copies

    def play(self, problems: Sequence[Prompt], n: int = 1) -> list[Played]:
        """n episodes for each problem, all at once, played by the refinements; in the order of the problems.

        Equal problems get equal answers. Refinements never see a reference answer.
        """
        return self.desk.play(self, problems, Playing(n=n))

    def answer(self, prompts: Sequence[Prompt]) -> list[Rollout]:
        """One refined answer to each problem; its reward is the mark from the task's episode."""
        return [played.rollout for played in self.play(prompts)]

    def plain(self) -> Policy:
        """The same weights without refinements: plain samples."""
        return replace(self, chain=(), states=())


class Asking(Protocol):
    """What a reward asks a judge about one attempt, and how it reads the reply; see `stages.Grading`."""

    def question(self, rollout: Rollout, roles: Roles) -> Prompt: ...
    def read(self, text: str, roles: Roles) -> float | None: ...


@dataclass(frozen=True, kw_only=True)
class Context:
    """Everything that a method may use. There are no other globals, and held-out data is out of reach."""

    round: int
    rounds: int
    """Rounds that the recipe plans."""
    seed: int
    folder: Path
    """The only folder that the method may write to."""
    previous: Path | None
    """The same step's folder one round earlier, for methods that keep state across rounds."""
    policy: Policy
    start: Checkpoint
    """The weights of round 0."""
    problems: Callable[[int | None, int], list[Prompt]]
    """`problems(n, round)`: n training problems drawn for that round; n = None gives all of a finite task."""
    selection: Callable[[int], list[Prompt]]
    """`selection(n)`: problems for choosing, never for training; scores on them are biased, see docs/evaluation.md."""
    variants: Callable[[Prompt, int], list[Prompt]]
    """`variants(problem, n)`: up to n other wordings of a problem, with its key and its answer."""
    world: Callable[[Prompt], Episode]
    """Opens the world of a problem, for a method that lets its own weights play; `play` does all of it."""
    verify: Verify
    answer_of: Callable[[str], str | None]
    """The task's answer extraction: the final answer in a completion, or None."""
    roles: Roles
    reward: Callable[[Sequence[Rollout]], list[Rollout]]
    """The recipe's reward as a function: takes rollouts, returns the same rollouts with rewards."""
    log: Log
    acquire: Callable[[Policy, int], list[Record]] | None = None
    """In an optimization: `acquire(policy, n)` runs the round's acquisition again by other weights and gives rewarded
    records; draw n has problems and seeds of its own. None in the null round."""
    judge: Asking | None = None
    """The recipe's first reward with a weight that judges single attempts, for methods that train the judge."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """In `Refinement.fit`: the method's state for the weights that these were trained from."""
    held_out: Callable[[int], Mapping[str, Any]] | None = None
    """`held_out(n)`: the held-out problems as hashes only: `runs` of n words and `keys`, sorted numpy arrays of uint64.
    None where no task is named."""
    sampler: Sampler | None = None
    """In an optimization: the recipe's sampler, if it names one."""
    place: int = 0
    """In `Refinement.fit`: the number of refinements before the method, which make the attempts of its sessions."""

    def held(self, method: Any) -> Context:
        """The same context for a method, which is refused everything that its `needs` do not name."""
        return replace(self, policy=self.policy.held(method))

    def run(
        self, routine: Callable[[Any, Session], Coroutine[Any, Any, T]], items: Sequence[Any], alike: bool = False
    ) -> list[T]:
        """Run a routine over all items, in order; requests that wait at the same time are one call of the engine.

        Args:
            routine: `async def routine(item, session)`, which awaits only its session.
            items: JSON values or records; equal items are numbered, so that they draw different samples.
            alike: equal requests at the same time get equal answers, as in one call of `Policy.sample`.
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
        """n episodes for each problem, side by side, played by plain samples of the weights.

        Args:
            world: opens a problem; None means the task.
            turns: most messages of all players together.

        Raises:
            RecipeError: a problem is held out, and a data stage runs.
        """
        policy = self.policy.plain()
        how = Playing(n=n, world=world, turns=turns, sampling=sampling, training=True)
        return self.policy.desk.play(policy, problems, how)


class Session(Protocol):
    """The argument of a routine: models, tools and a budget for one item. Slow operations are awaited."""

    policy: Policy
    state: Mapping[str, Any]
    """The state that `Refinement.fit` learned."""
    tools: Mapping[str, Tool]
    """The task's tools for the problem."""
    best: Rollout | None
    """The answer if the budget ends now: the first attempt, unless the method sets a better one."""

    async def attempts(self, prompt: Prompt, n: int = 1, sampling: Sampling = Sampling()) -> list[Rollout]:
        """n answers from the previous method in the chain; for the first method, the next n plain samples.

        Raises:
            Spent: the budget is used up. If it pays for fewer than n, fewer are returned.
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
        """n completions directly from the weights.

        Args:
            of: the weights; None means the session's own.

        Raises:
            Spent: the budget is used up. If it pays for fewer than n, fewer are returned.
        """
        ...

    async def tops(
        self, prompt: Prompt, k: int = 20, *, role: str = "solve", of: Policy | None = None
    ) -> dict[str, float]:
        """The k most likely next tokens with their log-probabilities in nats."""
        ...

    async def logprobs_of(
        self, rollouts: Sequence[Rollout], statistic: str = "logprob", *, of: Policy | None = None
    ) -> list[list[float]]:
        """A number for each token, see `Engine.logprobs_of`; numbers recorded while drawing are reused."""
        ...

    async def embed(self, texts: Sequence[str]) -> Any:
        """The texts as vectors, a numpy array (texts, width), see `Engine.embed`."""
        ...

    async def rate(self, rollouts: Sequence[Rollout], by: str) -> list[float | None]:
        """One of the recipe's rewards for these attempts, without a reference answer."""
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
        """Play an episode of up to `turns` messages, directly from the weights, in the role of each player."""
        ...

    async def through(
        self, prompt: Prompt, methods: Sequence[Refinement], states: Sequence[Mapping[str, Any]] = ()
    ) -> Rollout:
        """The answer of other refinements to a problem: the last one answers, and the first one's attempts are those of
        this session. Each is held to its own declarations; the one that asks declares what all of them take.

        Args:
            states: what they have learned; none by default.

        Raises:
            Spent: the budget is used up before there is an answer.
        """
        ...

    async def all(self, routines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Run several routines for the same item at once; results in the given order."""
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

    def words(self, role: str, prompt: Prompt, *parts: str, otherwise: str = "") -> Prompt:
        """The prompt of a role for a problem: the task's own words if it has any, else the method's.

        Args:
            role: `judge` and `refine` take an attempt, `hint` an answer; what others take is in docs/architecture.md.
            otherwise: the method's own text, in which `{problem}` and the parts `{0}`, `{1}` are filled in; other
                braces stay. The problem's system message stays before it.

        Raises:
            RecipeError: the task has no words for the role, and the method gives none.
        """
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
            Refused: while a problem is answered.
        """
        ...

    @property
    def left(self) -> Budget:
        """The remaining budget of the item."""
        ...

    @property
    def random(self) -> random.Random:
        """Random numbers that depend only on the routine and its item."""
        ...


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The limits for answering one problem; a budget for several problems would depend on their order."""

    tokens: float = math.inf
    """Tokens of all completions drawn for it."""
    completions: float = math.inf
    calls: float = math.inf
    """Calls of tools."""

    @property
    def unlimited(self) -> bool:
        """Whether there are no limits."""
        return self.tokens == self.completions == self.calls == math.inf


class Spent(Exception):
    """The budget is used up. A method need not catch this: its answer is then `session.best`."""


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
    """Serves the sessions of routines; implemented in `inference.desk`."""

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
    """Survey section 5: how the model is used at inference time, with unchanged weights.

    In a chain the last method answers, and each gets its attempts from those before it.
    """

    single: ClassVar[Sampling | None] = None
    """How its attempt is drawn, if its answer is one attempt and nothing else; then no session is needed for it."""
    joint: ClassVar[bool] = False
    """Whether it sees all problems of a set before it answers the first, see `together`. The verdict of a run says so:
    its exam then measures a model that was adapted on the exam's questions, without answers."""

    def needs(self) -> Needs:
        """What it uses besides attempts and plain samples."""
        return Needs()

    def cost(self, given: Given) -> Cost:
        """The largest cost of one answer; `given.attempt` is that of one completion, or of the chain before."""
        return given.attempt

    def fit_cost(self, given: Given) -> Cost:
        """The largest cost of `fit` in a round."""
        return NOTHING

    def fit(self, context: Context) -> dict[str, Any]:
        """Learn a state for inference (a prompt, a memory), as JSON. Most methods learn nothing.

        The state belongs to the new weights; `context.state` is that of the weights they were trained from.
        """
        return {}

    def together(self, prompts: Sequence[Prompt], session: Session) -> AbstractAsyncContextManager[Policy]:
        """Around all answers to a set of problems: other weights to give them with. Only a joint method has one.

        Args:
            prompts: all problems of the set, without reference answers, sorted by id.
        """
        return nullcontext(session.policy)

    def together_cost(self, given: Given) -> Cost:
        """The most that `together` takes, for `given.flow.records` problems."""
        return NOTHING

    @abstractmethod
    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        """The answer to one problem, given without its reference answer. Awaits only the session."""
