"""Notes that a method learned, shown with a problem, and whether they help on selection problems."""

from __future__ import annotations

from selfimprove.interfaces import GREEDY, Context, Session
from selfimprove.records import Prompt
from selfimprove.text import beside


def with_notes(prompt: Prompt, notes: str, session: Session) -> Prompt:
    """The problem with notes, in the task's words for the role recall or our own; without notes as it is."""
    if not notes:
        return prompt
    return session.words("recall", prompt, notes, otherwise=beside(__name__, "notes.txt"))


def better(context: Context, notes: str, old: str, trials: int) -> bool:
    """Whether more of the selection problems are answered right with these notes than with the old ones.

    It takes 2 * trials greedy attempts, or none if they are alike.
    """
    if notes == old:
        return False

    async def marks(prompt: Prompt, session: Session) -> list[float]:
        both = [with_notes(prompt, one, session) for one in (notes, old)]
        made = [(await session.attempts(one, 1, GREEDY))[0] for one in both]
        return [session.mark(one) or 0.0 for one in made]

    seen = context.run(marks, context.selection(trials))
    gain = sum(new - before for new, before in seen)
    context.log.metric("notes/gain", gain / max(1, len(seen)))
    return gain > 0
