"""Self-edits: texts that a model writes about a problem in order to be trained on them."""

from __future__ import annotations

from collections.abc import Collection

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import SOLVE, Prompt, Rollout
from selfimprove.registry import nearest
from selfimprove.text import beside

ASKS = {
    "similar": "Write another problem of this kind, and its solution step by step.",
    "notes": "Write down all facts and rules that one needs to solve it. Do not solve it.",
    "rewrite": "Write the problem in other words, and its solution step by step.",
}
"""Style -> what is asked for in the role edit."""
SOLUTION = "solution"
"""The style whose texts are solutions in the role solve; it needs no words."""


def check(option: str, style: str, known: Collection[str]) -> None:
    """
    Raises:
        RecipeError: there is no such style.
    """
    if style not in known:
        raise RecipeError(f"{option}: there is no {style!r}.{nearest(style, known)}")


def needs(styles: Collection[str]) -> Needs:
    """What writing in these styles needs."""
    return Needs(roles=("edit",) if set(styles) - {SOLUTION} else ())


async def edited(prompt: Prompt, style: str, rows: int, temperature: float, session: Session) -> list[Rollout]:
    """The texts of one self-edit."""
    sampling = Sampling(temperature=temperature)
    if style == SOLUTION:
        return await session.draw(prompt, rows, sampling, role=SOLVE)
    asked = session.words("edit", prompt, ASKS[style], otherwise=beside(__name__, "edits.txt"))
    return await session.draw(asked, rows, sampling, role="edit")
