"""The model writes its own training data for a problem in one of several ways; which way helps is learned first.

Idea: a model can say what it should learn. Which kind of text helps it most is measured: on a copy trained on it.
Survey: test-time training, section 5.5.
Paper: arXiv:2506.10943 (SEAL), Zweiger et al., 2025.
Algorithm:
  1. A self-edit is `rows` texts that the model writes about a problem in the role edit, in one of the `styles`:
     `similar` (another problem with its solution), `notes` (facts and rules that it needs), or `rewrite` (the problem
     in other words, with its solution). A copy is trained on them for `max_steps` steps.
  2. In `fit` each style answers the same `problems` selection problems, and so does the model without any edit.
  3. The style with most right answers stays; none if no style beats the model itself.
  4. Answer a problem greedily with a copy that was trained on a self-edit in that style, then remove it.
Differs: the paper's outer loop trains the model to write better edits (ReST-EM): the acquisition self_edits does that,
  as in the recipe seal; here a style is chosen, so that the weights of a checkpoint change in the optimization only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference import edits
from selfimprove.interfaces import GREEDY, Context, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.training import Schedule


@register("self_edits", paper="2506.10943")
@dataclass
class SelfEdits(Refinement):
    styles: list[str] = field(default_factory=lambda: list(edits.ASKS))
    """The ways that are tried: of `similar`, `notes` and `rewrite`."""
    problems: int = bounded(8, 1)
    """Selection problems that each style answers in `fit`."""
    rows: int = bounded(4, 1)
    """Texts of a self-edit."""
    max_steps: int = bounded(4, 1)
    """Optimizer steps on them."""
    learning_rate: float = bounded(1e-5, 0, 100)
    """Learning rate of the copy."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of self-edits."""

    def __post_init__(self) -> None:
        for style in self.styles:
            edits.check("refinement.self_edits.styles", style, edits.ASKS)

    def needs(self) -> Needs:
        return edits.needs(edits.ASKS) + Needs(engine=("copies",))

    def cost(self, given: Given) -> Cost:
        return max(given.attempt, given.draw()) + given.draw(self.rows) + Cost(copies=1, steps=self.max_steps)

    def fit_cost(self, given: Given) -> Cost:
        plain = self.problems * max(given.attempt, given.draw())
        return plain + self.problems * len(self.styles) * self.cost(given)

    def fit(self, context: Context) -> dict[str, Any]:
        asked, right = context.selection(self.problems), dict[str, float]()
        for style in ("", *self.styles):

            async def marked(prompt: Prompt, session: Session, style: str = style) -> float:
                return session.mark(await self._answered(prompt, style, session)) or 0.0

            right[style] = sum(context.run(marked, asked))
        best = max(right, key=lambda style: right[style])  # no edit wins a tie
        context.log.metric("self_edits/gain", (right[best] - right[""]) / max(1, len(asked)))
        return {"style": best, "right": right}

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await self._answered(prompt, session.state.get("style", ""), session)

    async def _answered(self, prompt: Prompt, style: str, session: Session) -> Rollout:
        """The answer after a self-edit in a style; without one if there is none."""
        if not style:
            return (await session.attempts(prompt, 1, GREEDY))[0]
        rows = await edits.edited(prompt, style, self.rows, self.temperature, session)
        schedule = Schedule(
            learning_rate=self.learning_rate,
            max_steps=self.max_steps,
            per_device_train_batch_size=len(rows),
            lr_scheduler_type="constant",
        )
        async with session.adapted(rows, schedule) as copy:
            return (await session.draw(prompt, 1, GREEDY, of=copy))[0]
