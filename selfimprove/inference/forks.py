"""Completions that are grown in parts, and others that branch off where the model was unsure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.interfaces import Policy, Sampling, Session
from selfimprove.records import Prompt, Rollout
from selfimprove.text import joined, prefilled


@dataclass(frozen=True)
class Grown:
    """The beginning of a completion, or a whole one."""

    rollout: Rollout
    """Its message has all that was said so far."""
    tokens: int


async def grown(
    prompt: Prompt, session: Session, step_tokens: int, temperature: float, of: Policy | None = None
) -> list[Grown]:
    """A completion after each of its parts of `step_tokens` tokens; the last one is whole."""
    longest, made = session.policy.engine.longest(), list[Grown]()
    while not made or (made[-1].rollout.truncated and made[-1].tokens < longest):
        made += await _drawn(prompt, session, made[-1] if made else None, 1, step_tokens, temperature, of)
    return made


async def forked(
    prompt: Prompt,
    session: Session,
    begins: Sequence[Grown | None],
    branches: int,
    temperature: float,
    of: Policy | None = None,
) -> list[Rollout]:
    """Whole completions, `branches` of each beginning; None is that of the problem."""
    longest = session.policy.engine.longest()
    drawn = [_drawn(prompt, session, begun, branches, longest, temperature, of) for begun in begins]
    return [one.rollout for some in await session.all(drawn) for one in some]


def unsure(parts: Sequence[Grown], entropies: Sequence[float], forks: int) -> list[Grown | None]:
    """Where the `forks` parts of a completion with the highest mean entropy begin, the first first.

    Args:
        entropies: that of each token.
    """
    ends = [0, *(part.tokens for part in parts)]
    means = [math.fsum(entropies[begin:end]) / max(1, end - begin) for begin, end in itertools.pairwise(ends)]
    ranked = sorted(range(len(parts)), key=lambda place: -means[place])
    return [parts[place - 1] if place else None for place in sorted(ranked[:forks])]


async def _drawn(
    prompt: Prompt, session: Session, begun: Grown | None, n: int, most: int, temperature: float, of: Policy | None
) -> list[Grown]:
    """n completions of a beginning, of up to `most` tokens more."""
    said, before = (begun.rollout.completion[-1], begun.tokens) if begun else (None, 0)
    text = said["content"] if said else ""
    limit = min(most, session.policy.engine.longest() - before)
    sampling = Sampling(temperature=temperature, max_completion_length=limit)
    ends = await session.draw(prefilled(prompt, text, said), n, sampling, of=of)
    return [
        Grown(
            Rollout(
                prompt=prompt,
                completion=[joined(text, one.completion[-1])],
                info=one.info,
                ids=() if text else one.ids,
            ),
            before + int((one.logprobs or {}).get("count", limit)),
        )
        for one in ends
    ]
