"""The model keeps a sheet of notes on what works, rewrites it after each few problems, and reads it before each one.

Idea: strategies and facts that helped with one problem help with the next; a short text carries them, without training.
Survey: memory, section 5.3.
Paper: arXiv:2504.07952 (Dynamic Cheatsheet), Suzgun et al., 2025.
Algorithm:
  1. In `fit` take `problems` selection problems, `batch` at a time. Answer each with the sheet before it.
  2. In the role curate the model sees the sheet and these attempts, with their marks if `marks`, and writes the next
     sheet. An empty reply keeps the old one; a sheet has at most `characters`.
  3. Answer `trials` selection problems with the new sheet and with the one that `fit` began with; the better one stays,
     the old one if they are alike.
  4. Answer each problem with the sheet before it, in the task's words for recall or the method's own.
Differs: the paper changes the sheet while it answers the test, one problem after the other, and never sees a mark. Here
  no answer changes the sheet, so the order of problems does not matter, and a sheet that does harm is not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.notes import better, with_notes
from selfimprove.interfaces import GREEDY, Context, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside, quoted


@register("dynamic_cheatsheet", paper="2504.07952")
@dataclass
class DynamicCheatsheet(Refinement):
    problems: int = bounded(16, 1)
    """Selection problems that each `fit` learns from."""
    batch: int = bounded(4, 1)
    """Problems between two versions of the sheet."""
    marks: bool = False
    """Tell the curator which attempts were right."""
    characters: int = bounded(4000, 1)
    """Most characters of the sheet."""
    trials: int = bounded(16, 0)
    """Selection problems on which the new sheet has to beat the old one; 0 always keeps the new one."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of the curator; attempts and answers are greedy."""

    def needs(self) -> Needs:
        return Needs(roles=("curate",))

    def fit_cost(self, given: Given) -> Cost:
        rewritten = -(-self.problems // self.batch)
        return (self.problems + 2 * self.trials) * max(given.attempt, given.draw()) + given.draw(rewritten)

    def fit(self, context: Context) -> dict[str, Any]:
        old = sheet = str(context.state.get("sheet", ""))
        asked = context.selection(self.problems)
        for start in range(0, len(asked), self.batch):
            sheet = self._next(context, asked[start : start + self.batch], sheet)
        if self.trials and not better(context, sheet, old, self.trials):
            sheet = old
        context.log.metric("dynamic_cheatsheet/characters", len(sheet))
        return {"sheet": sheet}

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return (await session.attempts(with_notes(prompt, session.state.get("sheet", ""), session), 1, GREEDY))[0]

    def _next(self, context: Context, asked: Sequence[Prompt], sheet: str) -> str:
        """The sheet after some problems."""

        async def attempt(prompt: Prompt, session: Session) -> str:
            [made] = await session.attempts(with_notes(prompt, sheet, session), 1, GREEDY)
            told = f"\nIt was {'right' if session.mark(made) else 'wrong'}." if self.marks else ""
            return f"<problem>\n{quoted(prompt.prompt)}\n</problem>\n<attempt>\n{made.text}\n</attempt>{told}"

        async def curate(prompt: Prompt, session: Session) -> str:
            words = beside(__name__, "dynamic_cheatsheet.txt")
            said = session.words("curate", prompt, sheet, "\n\n".join(attempts), otherwise=words)
            [made] = await session.draw(said, 1, Sampling(temperature=self.temperature), role="curate")
            return made.text.strip()

        attempts = context.run(attempt, asked)
        [text] = context.run(curate, asked[:1])
        return text[: self.characters] or sheet
