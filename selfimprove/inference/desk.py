"""The desk where sessions are served: runs routines over items, and lets a policy play in the worlds of problems."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any, TypeVar

from selfimprove.costs import Cost, Given
from selfimprove.episodes import Episode, Played
from selfimprove.errors import RecipeError
from selfimprove.inference.play import play
from selfimprove.inference.routines import Account, Drive, Strand
from selfimprove.inference.session import Seat
from selfimprove.inference.waves import Waves
from selfimprove.interfaces import Budget, Context, Policy, Sampling, Session, Task
from selfimprove.problems import splits
from selfimprove.records import Prompt, Rollout, digest

T = TypeVar("T")


def _no_rewards(name: str, groups: Sequence[Sequence[Rollout]], policy: Policy) -> list[list[float | None]]:
    raise RecipeError(f"there is no recipe here whose reward {name!r} could be asked")


@dataclass(frozen=True)
class Sessions:
    """Serves sessions for one task.

    Args:
        rewards: (name of one of the recipe's rewards, groups, policy) -> its scores, without reference answers.
        budget: what answering one problem may take.
    """

    task: Task
    rewards: Callable[[str, Sequence[Sequence[Rollout]], Policy], list[list[float | None]]] = _no_rewards
    budget: Budget = Budget()
    others: Callable[[str], Policy] | None = None

    def run(
        self,
        policy: Policy,
        routine: Callable[[Any, Session], Coroutine[Any, Any, T]],
        items: Sequence[Any],
        context: Context,
        alike: bool = False,
    ) -> list[T]:
        """See `Context.run`."""
        waves = Waves(policy, next(policy.calls), self.rewards, context, alike)
        drive, seen, strands = Drive(waves.serve), dict[str, int](), list[Strand]()
        roles, declared = self.task.roles(), _declared(policy)
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
                declared=declared,
            )
            strands.append(Strand(routine(item, seat), account, root, (name, seen.get(name, 0))))
            seen[name] = seen.get(name, 0) + 1
        return drive.run(strands)

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
        training: bool = False,
    ) -> list[Played]:
        """n episodes with each problem, those of a problem side by side; see `Policy.play`.

        Args:
            world: what opens a problem; None: the task.
            turns: times that players may speak, all together.
            sampling: how plain samples are drawn, where no refinement says it.
            opponents: other policies that speak for some players, outside of the budget.
            training: whether a data stage plays: without the budget of an answer, and `Played.drawn` is wanted.
        """
        waves = Waves(policy, next(policy.calls), self.rewards)
        drive, strands = Drive(waves.serve), list[Strand]()
        roles, accounts, declared = self.task.roles(), list[Account](), _declared(policy)
        for problem in problems:
            splits.check_problem(problem.key)
            blind = problem.blind()
            for episode in range(n):
                account = Account(Budget() if training else self.budget)
                seat = Seat(
                    policy=policy,
                    roles=roles,
                    drive=drive,
                    account=account,
                    before=len(policy.chain),
                    tools=self.task.tools(blind),
                    others=self.others,
                    sampling=sampling,
                    declared=declared,
                )
                opened = (world or self.task.open)(problem)
                work = _episode(opened, blind, seat, turns, opponents or {})
                strands.append(Strand(work, account, len(strands), (blind.id, episode)))
                accounts.append(account)
        made = drive.run(strands)
        return [_settled(one, problems[i // n], accounts[i], training) for i, one in enumerate(made)]


def _declared(policy: Policy) -> list[Cost]:
    """The most that one answer takes, as each method of the chain declares it."""
    given = Given(length=max(engine.longest() for engine in (policy.engine, *policy.helpers.values())))
    attempt, made = given.draw(), list[Cost]()
    for method in policy.chain:  # the attempts of each are made by those before it
        attempt = method.cost(replace(given, attempt=attempt))
        made.append(attempt)
    return made


async def _episode(world: Episode, problem: Prompt, seat: Seat, turns: int, opponents: Mapping[str, Policy]) -> Played:
    # What an opponent draws is not the policy's to pay, and it plays in whatever role the world gives it.
    beside = replace(seat, account=Account(), policy=replace(seat.policy, hold=None))

    async def speak(talk: Prompt, player: str) -> Rollout:
        if player in opponents:
            [reply] = await beside.draw(talk, 1, role=player, of=opponents[player])
            return reply
        asked = problem if talk.prompt == problem.prompt else replace(problem, prompt=talk.prompt)
        reply = await seat.answered(asked)
        return reply or Rollout(
            prompt=asked, completion=[{"role": "assistant", "content": ""}], info={"finish_reason": "length"}
        )

    return await play(world, turns, speak)


def _settled(played: Played, problem: Prompt, account: Account, keep: bool) -> Played:
    """An episode with what it took, its first transcript as an answer to the problem."""
    spent = {name: value for name, value in asdict(account.spent).items() if value}
    note: dict[str, Any] = {}
    if account.spent.completions != 1 or not account.budget.unlimited:
        note = {"spent": spent if account.budget.unlimited else {**spent, "cut": account.cut}}
    said = dict[str, Rollout]()
    for number, (who, rollout) in enumerate(played.said.items()):
        own = (
            problem
            if not number and rollout.prompt.prompt == problem.prompt
            else replace(problem, prompt=rollout.prompt.prompt, parents=(problem.id,))
        )
        said[who] = replace(rollout, prompt=own, info={**rollout.info, **note})
    drawn = [one for _, one in sorted(account.drawn, key=lambda pair: pair[0])] if keep else ()
    return replace(played, said=said, drawn=drawn)


def _name(item: Any) -> str:
    """What an item is known by: its content, of a problem without its reference answer."""
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
