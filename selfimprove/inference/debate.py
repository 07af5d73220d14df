"""A debate: agents see each other's answers to a problem and answer again; for data stages and for answering."""

from __future__ import annotations

from collections.abc import Sequence

from selfimprove.interfaces import Sampling, Session
from selfimprove.measures.votes import tally
from selfimprove.records import Prompt, Rollout


async def debate(
    prompt: Prompt, session: Session, *, agents: int, turns: int, sampling: Sampling, majority: bool = False
) -> list[list[Rollout]]:
    """The agents' replies in each turn, in order; the debate ends early when all agree.

    Args:
        turns: most turns of an agent.
        majority: an agent sees one attempt with the others' most frequent answer, not all their replies.
    """
    said = [await session.attempts(prompt, agents, sampling)]
    while len(said) < turns and not agreed(said[-1], session):
        asked = [_shown(prompt, said[-1], agent, session, majority) for agent in range(len(said[-1]))]
        replies = await session.all([session.draw(one, 1, sampling) for one in asked])
        said.append([reply for [reply] in replies])
    return said


def agreed(said: Sequence[Rollout], session: Session) -> bool:
    """Whether all agents give the same answer."""
    answers = {session.answer_of(reply) for reply in said}
    return len(answers) == 1 and None not in answers


def _shown(prompt: Prompt, said: Sequence[Rollout], agent: int, session: Session, majority: bool) -> Prompt:
    """The prompt of an agent that sees the others' replies."""
    others = [reply for i, reply in enumerate(said) if i != agent]
    if majority:
        answers = [session.answer_of(reply) for reply in others]
        ranked = tally(answers).most_common(1)
        others = [others[answers.index(ranked[0][0]) if ranked else 0]]
    return session.words("refine", prompt, "\n\n".join(reply.text for reply in others))
