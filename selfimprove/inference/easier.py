"""Easier variants of a problem, written by the model: the steps of a ladder, at test time and as training data."""

from __future__ import annotations

from selfimprove.interfaces import Sampling, Session
from selfimprove.records import Prompt, Rollout
from selfimprove.text import beside

ROLE = "easier"
HEATS = (0.8, 1.0, 1.2, 1.4)
"""Temperatures of variants, one after the other (arXiv:2503.00735)."""


async def easier(prompt: Prompt, n: int, session: Session) -> list[Rollout]:
    """n replies that should each be an easier variant of the problem."""
    asked, made = session.words(ROLE, prompt, otherwise=beside(__name__, "easier.txt")), list[Rollout]()
    for place in range(n):
        made += await session.draw(asked, 1, Sampling(temperature=HEATS[place % len(HEATS)]), role=ROLE)
    return made
