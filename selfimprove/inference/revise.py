"""A model looks at an attempt again: it judges it, and writes it anew; for data stages and for answering."""

from __future__ import annotations

from selfimprove.interfaces import Sampling, Session
from selfimprove.records import Prompt, Rollout


async def judged(
    prompt: Prompt, attempt: str, session: Session, sampling: Sampling, *, role: str = "judge"
) -> tuple[Rollout, float | None]:
    """What the model says of an attempt, and the judgement in it, in [0, 1]; None where it cannot be read.

    Args:
        role: that of the weights, or of the other engine, that judge.
    """
    [reply] = await session.draw(session.words("judge", prompt, attempt), 1, sampling, role=role)
    return reply, session.judgement(reply.text)


async def revised(
    prompt: Prompt, attempt: str, session: Session, sampling: Sampling, n: int = 1, *, role: str = "refine"
) -> list[Rollout]:
    """n further attempts of a model that sees the first one.

    Args:
        role: that of the weights, or of the other engine, that revise.
    """
    return await session.draw(session.words("refine", prompt, attempt), n, sampling, role=role)
