"""A debate: agents see each other's answers to a problem and answer again; for data stages and for answering."""

from __future__ import annotations

from collections.abc import Sequence

from selfimprove.interfaces import Sampling, Session
from selfimprove.measures.votes import tally
from selfimprove.records import Prompt, Rollout

TOPOLOGIES = ("all", "ring", "star")


async def debate(
    prompt: Prompt,
    session: Session,
    *,
    agents: int,
    turns: int,
    sampling: Sampling,
    majority: bool = False,
    topology: str = "all",
    personas: Sequence[str] = (),
) -> list[list[Rollout]]:
    """The agents' replies in each turn, in order; the debate ends early when all agree.

    Args:
        turns: most turns of an agent.
        majority: an agent sees one attempt with the others' most frequent answer, not all their replies.
        topology: whom an agent sees, one of TOPOLOGIES.
        personas: who the agents are, one sentence each; without any their first replies are plain attempts.
    """
    roles = personas or [""] * agents
    if personas:
        firsts = await session.all([session.draw(_as(prompt, who, session), 1, sampling) for who in personas])
        said = [[reply for [reply] in firsts]]
        session.best = session.best or said[0][0]
    else:
        said = [await session.attempts(prompt, agents, sampling)]
    while len(said) < turns and not agreed(said[-1], session):
        links = seen(topology, len(said[-1]))
        asked = [
            _as(_shown(prompt, [said[-1][other] for other in others], session, majority), who, session)
            for others, who in zip(links, roles, strict=False)
        ]
        replies = await session.all([session.draw(one, 1, sampling) for one in asked])
        said.append([reply for [reply] in replies])
    return said


def agreed(said: Sequence[Rollout], session: Session) -> bool:
    """Whether all agents give the same answer."""
    answers = {session.answer_of(reply) for reply in said}
    return len(answers) == 1 and None not in answers


def seen(topology: str, agents: int) -> list[list[int]]:
    """The agents that each one sees, in order: all others; the two beside it in a ring; or in a star the first one, who
    sees everybody (sparse debates, arXiv:2406.11776)."""
    others = [[other for other in range(agents) if other != one] for one in range(agents)]
    match topology:
        case "ring":
            return [
                [other for other in some if (other - one) % agents in (1, agents - 1)]
                for one, some in enumerate(others)
            ]
        case "star":
            return [some if one == 0 else [0] for one, some in enumerate(others)]
    return others


def _as(prompt: Prompt, who: str, session: Session) -> Prompt:
    """A prompt for an agent who is somebody."""
    return session.words("persona", prompt, who, otherwise="{0}\n\n{problem}") if who else prompt


def _shown(prompt: Prompt, others: Sequence[Rollout], session: Session, majority: bool) -> Prompt:
    """The prompt of an agent that sees these replies of others."""
    if majority and others:
        answers = [session.answer_of(reply) for reply in others]
        ranked = tally(answers).most_common(1)
        others = [others[answers.index(ranked[0][0]) if ranked else 0]]
    return session.words("refine", prompt, "\n\n".join(reply.text for reply in others))
