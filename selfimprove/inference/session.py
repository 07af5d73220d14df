"""The session of one method for one item: turns its calls into requests and enforces the rules."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from selfimprove.costs import NOTHING, Cost, count
from selfimprove.episodes import Episode, Played, Tool
from selfimprove.errors import RecipeError, Refused
from selfimprove.inference.links import Link, Rating, linked
from selfimprove.inference.play import play
from selfimprove.inference.routines import Account, Adapt, All, Call, Draw, Drive, Embed, Logprobs, Rate
from selfimprove.interfaces import Budget, Context, Policy, Refinement, Roles, Sampling, Spent
from selfimprove.needs import Needs, Tab
from selfimprove.records import Message, Prompt, Rollout, changed
from selfimprove.text import filled, quoted

T = TypeVar("T")


@dataclass
class Seat:
    """The implementation of `interfaces.Session`."""

    policy: Policy
    roles: Roles
    drive: Drive
    account: Account
    before: int
    """The number of methods before it in the chain, which make its attempts."""
    state: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, Tool] = field(default_factory=dict)
    others: Callable[[str], Policy] | None = None
    context: Context | None = None
    """The context of a data stage or of `fit`; None while a problem is answered."""
    sampling: Sampling = Sampling()
    """The sampling of an attempt, if no method sets one."""
    best: Rollout | None = None
    chain: Sequence[Link] = ()
    """The methods of the policy's chain."""
    rating: Rating = lambda by, n: NOTHING
    tab: Tab | None = None
    """That of the method that answers; None if the item is not a problem to answer."""

    # ---- to be awaited --------------------------------------------------------------------------------------------
    async def attempts(self, prompt: Prompt, n: int = 1, sampling: Sampling = Sampling()) -> list[Rollout]:
        """See `Session.attempts`."""
        if not self.before:
            got = await self._drawn(prompt, n, sampling, "solve", None, stream=True)
        else:
            made = await self.all([self.answered(prompt) for _ in range(n)])
            got = [one for one in made if one is not None]
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
        """See `Session.draw`."""
        self._use(Needs(roles=(role,)))
        return await self._drawn(prompt, n, sampling, role, of)

    async def tops(
        self, prompt: Prompt, k: int = 20, *, role: str = "solve", of: Policy | None = None
    ) -> dict[str, float]:
        """See `Session.tops`."""
        [one] = await self.draw(prompt, 1, Sampling(tops=k, max_completion_length=1), role=role, of=of)
        return one.tops[0]

    async def logprobs_of(
        self, rollouts: Sequence[Rollout], statistic: str = "logprob", *, of: Policy | None = None
    ) -> list[list[float]]:
        """See `Session.logprobs_of`."""
        self._use(Needs(statistics=(statistic,)))
        if of is None and rollouts and all(statistic in one.noted for one in rollouts):
            return [one.noted[statistic] for one in rollouts]
        self._pay(Cost(scored=len(rollouts)))
        return await Logprobs(rollouts, statistic, of or self.policy)

    async def embed(self, texts: Sequence[str]) -> Any:
        """See `Session.embed`."""
        self._use(Needs(engine=("embed",)))
        return await Embed(texts, self.policy)

    async def rate(self, rollouts: Sequence[Rollout], by: str) -> list[float | None]:
        """See `Session.rate`."""
        most, left = self.rating(by, len(rollouts)), self.left
        if most.tokens > left.tokens or most.completions > left.completions:
            self.account.cut += 1
            raise Spent
        self.account.spent += most  # until it is known, so that nothing beside it takes the same tokens
        found, taken = await Rate(rollouts, by, self.policy)
        self.account.spent += taken + most * -1
        self._pay(taken)
        return found

    async def rewarded(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """See `Session.rewarded`."""
        return await Rate(rollouts, "", self.policy)

    async def call(self, tool: str, text: str) -> str:
        """See `Session.call`."""
        if tool not in self.tools:
            raise Refused(f"the task has no tool {tool!r} for this problem; it has {', '.join(self.tools) or 'none'}")
        self._use(Needs(tools=(tool,)))
        if self.left.calls < 1:
            self.account.cut += 1
            raise Spent
        self.account.spent += Cost(calls=1)
        count(Cost(calls=1))
        self._pay(Cost(calls=1))
        return await Call(tool, self.tools[tool], text)

    async def play(self, world: Episode, turns: int = 16, sampling: Sampling = Sampling()) -> Played:
        """See `Session.play`."""

        async def speak(talk: Prompt, player: str) -> Rollout:
            [reply] = await self._drawn(talk, 1, sampling, player, None)
            return reply

        return await play(world, turns, speak)

    @asynccontextmanager
    async def adapted(
        self, rows: Sequence[Rollout], schedule: Any, *, of: Policy | None = None
    ) -> AsyncIterator[Policy]:
        """See `Session.adapted`."""
        self._use(Needs(engine=("copies",)))
        self._pay(Cost(copies=1))
        self.account.spent += Cost(copies=1)
        copy, let_go = await Adapt(rows, schedule, of or self.policy)
        try:
            yield copy
        finally:
            let_go()

    async def through(
        self, prompt: Prompt, methods: Sequence[Refinement], states: Sequence[Mapping[str, Any]] = ()
    ) -> Rollout:
        """See `Session.through`."""
        before = list(self.chain[: self.before])
        links = linked(self.policy, methods, states or [{} for _ in methods], self.rating, before)
        made = await replace(self, chain=links, before=len(links)).answered(prompt)
        if made is None:
            raise Spent
        return made

    async def all(self, routines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """See `Session.all`."""
        return await All(routines)

    # ---- to be read -----------------------------------------------------------------------------------------------
    @property
    def left(self) -> Budget:
        """See `Session.left`."""
        return self.account.left

    @property
    def random(self) -> random.Random:
        """See `Session.random`."""
        assert self.drive.now is not None, "random numbers are drawn by a routine that runs"
        return self.drive.now.numbers(self.policy.seed)

    def other(self, name: str) -> Policy:
        """See `Session.other`."""
        self._use(Needs(policies=(name,)))
        if self.others is None:
            raise Refused(f"there is no other policy {name!r} here")
        return self.others(name)

    def words(self, role: str, prompt: Prompt, *parts: str, otherwise: str = "") -> Prompt:
        """See `Session.words`."""
        try:
            said = self._own_words(role, prompt, parts)
        except RecipeError:  # the task lacks one of the usual roles
            if not otherwise:
                raise
            said = None
        if said is None and not otherwise:
            raise RecipeError(f"the task has no words for the role {role!r}, and neither has the method that asks")
        if said is None:
            led = [message for message in prompt.prompt[:1] if message["role"] == "system"]
            text = filled(otherwise, *parts, problem=quoted(prompt.prompt))
            said = [*led, {"role": "user", "content": text}]
        return changed(prompt, prompt=said, parents=(prompt.id,))

    def _own_words(self, role: str, prompt: Prompt, parts: Sequence[str]) -> list[Message] | None:
        """The task's words for a role, or None."""
        match role:
            case "judge":
                return self.roles.judge(prompt, *parts)
            case "refine":
                return self.roles.refine(prompt, *parts)
            case "hint":
                return self.roles.hint(prompt, *parts)
            case _:
                return self.roles.words(role, prompt, parts)

    def judgement(self, text: str) -> float | None:
        """See `Session.judgement`."""
        return self.roles.read_judgement(text)

    def answer_of(self, rollout: Rollout) -> str | None:
        """See `Session.answer_of`."""
        return self.policy.answer_of(rollout.text)

    def mark(self, rollout: Rollout) -> float | None:
        """See `Session.mark`."""
        if self.context is None:
            raise Refused("session.mark needs the reference answer, so it cannot be used while answering, only in fit")
        return self.context.verify(rollout.prompt, rollout.text)

    # ---- the chain ------------------------------------------------------------------------------------------------
    async def answered(self, prompt: Prompt) -> Rollout | None:
        """The answer of the chain before this method; None if the budget is used up without one."""
        if not self.before:
            try:
                return (await self._drawn(prompt, 1, self.sampling, "solve", None, stream=True))[0]
            except Spent:
                return None
        place = self.before - 1
        link = self.chain[place]
        inner = Seat(
            policy=link.policy,
            roles=self.roles,
            drive=self.drive,
            account=self.account,
            before=place,
            state=link.state,
            tools=self.tools,
            others=self.others,
            sampling=self.sampling,
            chain=self.chain,
            rating=self.rating,
            tab=Tab(link.name, link.most, self.tab),
        )
        try:
            made = await link.method.answer(prompt.blind(), inner)
        except Spent:
            made = inner.best
        return made if made is None or prompt.answer is None else _of(prompt, made)

    async def _drawn(
        self, prompt: Prompt, n: int, sampling: Sampling, role: str, of: Policy | None, stream: bool = False
    ) -> list[Rollout]:
        if n < 1:
            raise Refused(f"{n} completions were asked for; ask for at least one")
        self._use(sampling.needs())
        ahead = self.account.budget.unlimited  # else some of them may not come
        self._pay(Cost(completions=n if ahead else 0))
        policy = of or self.policy
        shape = sampling.shape
        beside = {name: self.other(name).checkpoint.of(role) for name in shape.beside} if shape else {}
        got = await Draw(prompt, n, sampling, role, policy, self.account, beside, stream)
        most = sampling.max_completion_length or policy.helpers.get(role, policy.engine).longest()
        tokens = sum(min(most, int((one.logprobs or {}).get("count", 0))) for one in got)
        self._pay(Cost(completions=0 if ahead else len(got), tokens=tokens))
        return got

    # ---- what the method declared ---------------------------------------------------------------------------------
    def _use(self, needs: Needs) -> None:
        if self.policy.hold is not None:
            self.policy.hold.use_all(needs)

    def _pay(self, cost: Cost) -> None:
        if self.tab is not None:
            self.tab.pay(cost)


def _of(problem: Prompt, answer: Rollout) -> Rollout:
    """An answer that was given without the reference answer, as one to a problem that has it, to be marked."""
    asked = answer.prompt.prompt
    own = problem if asked == problem.prompt else changed(problem, prompt=asked, parents=(problem.id,))
    return changed(answer, prompt=own)
