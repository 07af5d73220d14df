"""Judge and revise an attempt; for data stages and for answering."""

from __future__ import annotations

from selfimprove.interfaces import Sampling, Session
from selfimprove.records import Prompt, Rollout


async def judged(
    prompt: Prompt, attempt: str, session: Session, sampling: Sampling, *, role: str = "judge"
) -> tuple[Rollout, float | None]:
    """The model's reply about an attempt, and the judgement in it, in [0, 1]; None if it is unreadable.

    Args:
        role: the role whose weights or engine judge.
    """
    [reply] = await session.draw(session.words("judge", prompt, attempt), 1, sampling, role=role)
    return reply, session.judgement(reply.text)


async def revised(
    prompt: Prompt, attempt: str, session: Session, sampling: Sampling, n: int = 1, *, role: str = "refine"
) -> list[Rollout]:
    """n further attempts by a model that sees the first one.

    Args:
        role: the role whose weights or engine revise.
    """
    return await session.draw(session.words("refine", prompt, attempt), n, sampling, role=role)
