"""The replay arena: what a refinement answers from stored samples, by its own code and without the model.

A method that only votes, weighs or stops asks its session for attempts and for nothing else. The session here deals it
stored samples of the problem, in many random orders, so each order is one more run of the method for microseconds. A
method that asks for anything else cannot be replayed, see `pool.Beyond`.
"""

from __future__ import annotations

import random
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeVar

from selfimprove.episodes import Episode, Played, Tool
from selfimprove.inference.pool import NONE, ORDERS, Beyond, Hand, Pool, spelled
from selfimprove.interfaces import Budget, Policy, Refinement, Sampling, Session, Spent
from selfimprove.records import Prompt, Rollout

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """What a method made of a problem: means over all orders."""

    mark: float
    tokens: float
    completions: float
    cut: float
    """How often the budget ended something."""


def play(
    pool: Pool, chain: Sequence[Refinement], states: Sequence[Mapping[str, Any]], budget: Budget = Budget()
) -> list[Outcome]:
    """What a chain makes of each problem.

    Raises:
        Beyond: it asks for more than the samples have.
    """
    return [_problem(pool, place, chain, states, budget) for place in range(len(pool.prompts))]


def _problem(
    pool: Pool, place: int, chain: Sequence[Refinement], states: Sequence[Mapping[str, Any]], budget: Budget
) -> Outcome:
    known = pool.known[place]
    made = list[Outcome]()
    for order in range(ORDERS):
        hand = Hand(pool, place, order, budget)
        answer = Deal(hand, chain, states, len(chain)).answered(pool.prompts[place])
        sample = NONE if answer is None else known.get(spelled(answer))
        if sample is None:
            raise Beyond("an answer that is not one of its attempts")
        made.append(Outcome(sample.mark, hand.tokens, hand.completions, hand.cut))
        if not hand.chance:
            break  # every order gives the same
    rows = [(one.mark, one.tokens, one.completions, one.cut) for one in made]
    return Outcome(*(sum(column) / len(rows) for column in zip(*rows, strict=True)))


class Deal(Session):
    """A session whose attempts are the samples of a hand; see `interfaces.Session`."""

    def __init__(
        self, hand: Hand, chain: Sequence[Refinement], states: Sequence[Mapping[str, Any]], before: int
    ) -> None:
        self.hand, self.chain, self.states, self.before = hand, chain, states, before
        self.state = states[before] if before < len(states) else {}
        self.tools: Mapping[str, Tool] = {}
        self.best: Rollout | None = None

    def answered(self, prompt: Prompt) -> Rollout | None:
        """The answer of the chain before this place; None if the budget is used up without one."""
        inner = Deal(self.hand, self.chain, self.states, self.before - 1)
        try:
            return _at_once(self.chain[self.before - 1].answer(prompt, inner))
        except Spent:
            return inner.best

    # ---- what samples can answer ------------------------------------------------------------------------------------
    async def attempts(self, prompt: Prompt, n: int = 1, sampling: Sampling = Sampling()) -> list[Rollout]:
        """See `Session.attempts`."""
        if not self.before:
            got = await self.draw(prompt, n, sampling)
        else:
            got = [one for one in [self.answered(prompt) for _ in range(n)] if one is not None]
            if not got:
                raise Spent
        self.best = self.best or got[0]
        return got

    async def draw(
        self,
        prompt: Prompt,
        n: int = 1,
        sampling: Sampling = Sampling(),
        *,
        role: str = "solve",
        of: Policy | None = None,
    ) -> list[Rollout]:
        """See `Session.draw`: the next samples, if the problem itself is asked."""
        if role != "solve" or of is not None or prompt.prompt != self.hand.pool.prompts[self.hand.place].prompt:
            raise Beyond(f"completions in the role {role}" if role != "solve" else "completions of other prompts")
        return self.hand.take(n, sampling)

    async def logprobs_of(
        self, rollouts: Sequence[Rollout], statistic: str = "logprob", *, of: Policy | None = None
    ) -> list[list[float]]:
        """See `Session.logprobs_of`: what was recorded while drawing."""
        if of is not None or not all(statistic in one.noted for one in rollouts):
            raise Beyond(f"the statistic {statistic} of given tokens")
        return [one.noted[statistic] for one in rollouts]

    async def through(
        self, prompt: Prompt, methods: Sequence[Refinement], states: Sequence[Mapping[str, Any]] = ()
    ) -> Rollout:
        """See `Session.through`."""
        chain = [*self.chain[: self.before], *methods]
        known = [*self.states[: self.before], *(states or [{} for _ in methods])]
        made = Deal(self.hand, chain, known, len(chain)).answered(prompt) if chain else (await self.attempts(prompt))[0]
        if made is None:
            raise Spent
        return made

    async def all(self, routines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """See `Session.all`."""
        return [_at_once(routine) for routine in routines]

    def answer_of(self, rollout: Rollout) -> str | None:
        """See `Session.answer_of`."""
        sample = self.hand.pool.known[self.hand.place].get(spelled(rollout))
        if sample is None:
            raise Beyond("the answer in a new text")
        return sample.answer

    @property
    def left(self) -> Budget:
        """See `Session.left`."""
        budget = self.hand.budget
        return replace(
            budget, tokens=budget.tokens - self.hand.tokens, completions=budget.completions - self.hand.completions
        )

    @property
    def random(self) -> random.Random:
        """See `Session.random`."""
        self.hand.chance = True
        return random.Random(f"{self.hand.pool.seed} {self.hand.place} {self.hand.order} {self.before}")

    # ---- what only a model can ------------------------------------------------------------------------------------
    @property
    def policy(self) -> Policy:  # pyright: ignore[reportIncompatibleVariableOverride]  # there is none
        """There is no model here."""
        raise Beyond("the model")

    async def tops(
        self, prompt: Prompt, k: int = 20, *, role: str = "solve", of: Policy | None = None
    ) -> dict[str, float]:
        """See `Session.tops`."""
        raise Beyond("the most likely next tokens")

    async def embed(self, texts: Sequence[str]) -> Any:
        """See `Session.embed`."""
        raise Beyond("embeddings")

    async def rate(self, rollouts: Sequence[Rollout], by: str) -> list[float | None]:
        """See `Session.rate`."""
        raise Beyond(f"the reward {by}")

    async def rewarded(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """See `Session.rewarded`."""
        raise Beyond("the recipe's reward")

    async def call(self, tool: str, text: str) -> str:
        """See `Session.call`."""
        raise Beyond(f"the tool {tool}")

    async def play(self, world: Episode, turns: int = 16, sampling: Sampling = Sampling()) -> Played:
        """See `Session.play`."""
        raise Beyond("an episode")

    def adapted(
        self, rows: Sequence[Rollout], schedule: Any, *, of: Policy | None = None
    ) -> AbstractAsyncContextManager[Policy]:
        """See `Session.adapted`."""
        raise Beyond("a trained copy of the weights")

    def other(self, name: str) -> Policy:
        """See `Session.other`."""
        raise Beyond(f"the policy {name}")

    def words(self, role: str, prompt: Prompt, *parts: str, **more: Any) -> Prompt:
        """See `Session.words`."""
        raise Beyond(f"the words of the role {role}")

    def judgement(self, text: str) -> float | None:
        """See `Session.judgement`."""
        raise Beyond("the judgement of a reply")

    def mark(self, rollout: Rollout) -> NoReturn:
        """See `Session.mark`."""
        raise Beyond("a mark")


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing.

    Raises:
        Beyond: it waits.
    """
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    work.close()
    raise Beyond("something to wait for")
