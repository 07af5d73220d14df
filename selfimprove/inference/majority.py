"""Majority answers to unlabelled problems as labels, and copies of the weights that learn them, round after round."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from selfimprove.interfaces import Policy, Session
from selfimprove.measures.attempts import standardized
from selfimprove.measures.votes import agreement, plurality
from selfimprove.records import Prompt, Rollout


def label_of(answers: Sequence[str | None], least: float) -> str | None:
    """The majority answer; None if it is tied, has a share below `least`, or if all agree, which teaches nothing."""
    return None if agreement(answers) == 1 else plurality(answers, least)


def advantages(answers: Sequence[str | None], label: str) -> list[float]:
    """GRPO's advantages (arXiv:2402.03300): the label has the reward 1, any other answer 0; all 0 if all are alike."""
    return [gain or 0.0 for gain in standardized([float(answer == label) for answer in answers])]


@asynccontextmanager
async def taught(
    prompts: Sequence[Prompt],
    session: Session,
    rounds: int,
    rows_of: Callable[[Prompt, Policy, Session], Coroutine[Any, Any, list[Rollout]]],
    schedule: Callable[[int], Any],
) -> AsyncIterator[Policy]:
    """The policy after `rounds` copies, each trained from the one before on what that one makes of the problems.

    Args:
        rows_of: (problem, policy, session) -> the completions to train on; a round without any is the last.
        schedule: number of the round -> the `training.Schedule` of its copy.
    """
    async with AsyncExitStack() as copies:
        policy = session.policy
        for number in range(rounds):
            found = await session.all([rows_of(prompt, policy, session) for prompt in prompts])
            rows = [row for some in found for row in some]
            if not rows:
                break
            policy = await copies.enter_async_context(session.adapted(rows, schedule(number), of=policy))
        yield policy


async def attempted(prompt: Prompt, session: Session) -> Rollout:
    """The first attempt at a problem, given with the weights of the session: after `taught` with the last copy."""
    return (await session.attempts(prompt))[0]
