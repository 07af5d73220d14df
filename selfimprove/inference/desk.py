"""Serves sessions: runs routines over items, and lets a policy play the episodes of problems."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any, TypeVar

from selfimprove.costs import NOTHING, Flow, Given
from selfimprove.episodes import Episode, Played
from selfimprove.errors import RecipeError, Refused
from selfimprove.inference import single
from selfimprove.inference.apportioned import Rewards
from selfimprove.inference.links import Rating, linked
from selfimprove.inference.outside import Kept
from selfimprove.inference.play import play
from selfimprove.inference.routines import Account, Drive, Strand
from selfimprove.inference.session import Seat
from selfimprove.inference.waves import Waves
from selfimprove.interfaces import Budget, Context, Playing, Policy, Session, Task
from selfimprove.needs import Tab, called
from selfimprove.problems import splits
from selfimprove.records import Prompt, Rollout, changed, digest

T = TypeVar("T")


def _no_rewards(name: str, groups: Sequence[Sequence[Rollout]], policy: Policy) -> list[list[float | None]]:
    raise RecipeError(f"there is no recipe here, so the reward {name!r} is not available")


@dataclass(frozen=True)
class Sessions:
    """Serves sessions for one task.

    Args:
        rewards: (name of one of the recipe's rewards, groups, policy) -> its rewards, without reference answers.
        budget: the limits for answering one problem.
        others: (name) -> another policy of the run.
        kept: replies of tools and slow environments in the step, including those of an earlier attempt at it.
        rating: the most that rewards take.
    """

    task: Task
    rewards: Rewards = _no_rewards
    budget: Budget = Budget()
    others: Callable[[str], Policy] | None = None
    kept: Kept = field(default_factory=dict)
    rating: Rating = lambda by, n: NOTHING

    def run(
        self,
        policy: Policy,
        routine: Callable[[Any, Session], Coroutine[Any, Any, T]],
        items: Sequence[Any],
        context: Context,
        alike: bool = False,
    ) -> list[T]:
        """See `Context.run`."""
        waves = Waves(policy, next(policy.calls), self.rewards, context, alike, self.kept)
        drive, seen, strands = Drive(waves.serve), dict[str, int](), list[Strand]()
        roles, chain = self.task.roles(), linked(policy, policy.chain, policy.states, self.rating)
        for root, item in enumerate(items):
            name = _name(item)
            account = Account()
            seat = Seat(
                policy=policy,
                roles=roles,
                drive=drive,
                account=account,
                before=context.place,
                state=context.state,
                tools=self.task.tools(item) if isinstance(item, Prompt) else {},
                others=self.others,
                context=context,
                chain=chain,
                rating=self.rating,
            )
            strands.append(Strand(routine(item, seat), account, root, (name, seen.get(name, 0))))
            seen[name] = seen.get(name, 0) + 1
        return drive.run(strands)

    def play(self, policy: Policy, problems: Sequence[Prompt], how: Playing) -> list[Played]:
        """See `Policy.play`."""
        for problem in problems:
            splits.check_problem(problem.key)
        if problems and any(method.joint for method in policy.chain):
            with self._together(policy, problems) as adapted:
                return self._play(adapted, problems, how)
        return self._play(policy, problems, how)

    def _play(self, policy: Policy, problems: Sequence[Prompt], how: Playing) -> list[Played]:
        worlds = [(how.world or self.task.open)(problem) for problem in problems for _ in range(how.n)]
        if sampling := single.sampling_of(policy, worlds, how, self.budget):
            return single.play(policy, problems, worlds, how, sampling)
        waves = Waves(policy, next(policy.calls), self.rewards, kept=self.kept)
        drive, strands = Drive(waves.serve), list[Strand]()
        roles, accounts, chain = (
            self.task.roles(),
            list[Account](),
            linked(policy, policy.chain, policy.states, self.rating),
        )
        for problem in problems:
            blind = problem.blind()
            for episode in range(how.n):
                account = Account(Budget() if how.training else self.budget)
                seat = Seat(
                    policy=policy,
                    roles=roles,
                    drive=drive,
                    account=account,
                    before=len(policy.chain),
                    tools=self.task.tools(blind),
                    others=self.others,
                    sampling=how.sampling,
                    chain=chain,
                    rating=self.rating,
                )
                work = _episode(worlds[len(strands)], blind, seat, how)
                strands.append(Strand(work, account, len(strands), (blind.id, episode)))
                accounts.append(account)
        made = drive.run(strands)
        return [_settled(one, problems[i // how.n], accounts[i], how.training) for i, one in enumerate(made)]

    @contextmanager
    def _together(self, policy: Policy, problems: Sequence[Prompt]) -> Iterator[Policy]:
        """The policy with the weights that the joint methods of its chain use for this set of problems."""
        known = {blind.id: blind for blind in (problem.blind() for problem in problems)}
        asked = [known[name] for name in sorted(known)]
        drive = Drive(Waves(policy, next(policy.calls), self.rewards, kept=self.kept).serve)
        account, held, chain = Account(), AsyncExitStack(), linked(policy, policy.chain, policy.states, self.rating)
        given = Given(length=policy.engine.longest(), flow=Flow(len(asked), len(asked)))

        async def around() -> Policy:
            now = policy
            async with AsyncExitStack() as stack:
                for place, method in enumerate(policy.chain):
                    if method.joint:
                        before = chain[place - 1].most if place else given.draw()
                        seat = Seat(
                            policy=now.held(method),
                            roles=self.task.roles(),
                            drive=drive,
                            account=account,
                            before=place,
                            state=policy.states[place],
                            others=self.others,
                            chain=chain,
                            rating=self.rating,
                            tab=Tab(called(method), method.together_cost(replace(given, attempt=before))),
                        )
                        made = await stack.enter_async_context(method.together(asked, seat))
                        now = replace(policy, checkpoint=made.checkpoint)
                held.push_async_exit(stack.pop_all())
            return now

        [adapted] = drive.run([Strand(around(), account, 0, (digest([*sorted(known)]), 0))])
        try:
            yield adapted
        finally:
            _finish(held.aclose())


def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that must not wait.

    Raises:
        Refused: it waits.
    """
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise Refused("a joint method cannot await its session once its problems are answered")


async def _episode(world: Episode, problem: Prompt, seat: Seat, how: Playing) -> Played:
    async def speak(talk: Prompt, player: str) -> Rollout:
        if player in how.opponents:  # an opponent's completions are not charged to the policy
            beside = replace(seat, account=Account(), policy=replace(seat.policy, hold=None))
            [reply] = await beside.draw(talk, 1, role=player, of=how.opponents[player])
            return reply
        asked = problem if talk.prompt == problem.prompt else changed(problem, prompt=talk.prompt)
        reply = await seat.answered(asked)
        return reply or Rollout(
            prompt=asked, completion=[{"role": "assistant", "content": ""}], info={"finish_reason": "length"}
        )

    return await play(world, how.turns, speak)


def _settled(played: Played, problem: Prompt, account: Account, keep: bool) -> Played:
    """An episode with its cost; its first transcript is the answer to the problem."""
    note: dict[str, Any] = {}
    unknown = account.spent.tokens and any(one.logprobs is None for one in played.said.values())
    if account.spent.completions != 1 or unknown or not account.budget.unlimited:
        spent = {name: value for name, value in account.spent._asdict().items() if value}
        note = {"spent": spent if account.budget.unlimited else {**spent, "cut": account.cut}}
    said = dict[str, Rollout]()
    for number, (who, rollout) in enumerate(played.said.items()):
        own = (
            problem
            if not number and rollout.prompt.prompt == problem.prompt
            else changed(problem, prompt=rollout.prompt.prompt, parents=(problem.id,))
        )
        said[who] = changed(rollout, prompt=own, info={**rollout.info, **note})
    drawn = [one for _, one in sorted(account.drawn, key=lambda pair: pair[0])] if keep else ()
    return Played(said=said, over=played.over, noted=played.noted, drawn=drawn)


def _name(item: Any) -> str:
    """The identity of an item: its content, for a problem without its reference answer."""
    if isinstance(item, Prompt):
        return item.blind().id
    return item.id if isinstance(item, Rollout) else digest(_plain(item))


def _plain(item: Any) -> Any:
    """An item as JSON."""
    if is_dataclass(item) and not isinstance(item, type):
        return asdict(item)
    if isinstance(item, list | tuple):
        return [_plain(one) for one in item]
    return item
