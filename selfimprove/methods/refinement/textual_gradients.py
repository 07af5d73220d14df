"""The model says what is wrong with an instruction from replies that failed, and rewrites it; the best ones go on.

Idea: a criticism in words is a gradient: it says in which direction an instruction should change.
Survey: optimization of prompts, section 5.1.
Paper: arXiv:2305.03495 (ProTeGi), Pryzant et al., 2023; the name after arXiv:2406.07496 (TextGrad).
Algorithm:
  1. In `fit` try the empty instruction, and that of the weights before, on `problems` selection problems.
  2. For each of the best `beam` instructions draw `gradients` criticisms in the role criticize, which sees the
     instruction and up to `errors` of its wrong replies.
  3. For each criticism draw `edits` new instructions in the role rewrite. Try each that is new on the same problems.
  4. Repeat from 2, `steps` times at most and while the budget of `answers` lasts.
  5. Answer greedily with the best instruction before each problem; the empty one wins a tie.
Differs: the paper saves answers by a bandit among candidates, which it also paraphrases; here all are tried on the same
  problems. A criticism sees that a reply is wrong, not the reference answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.instructions import NONE, Search, instructed, proposed, search_cost
from selfimprove.interfaces import Context, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside


@register("textual_gradients", paper="2305.03495")
@dataclass
class TextualGradients(Refinement):
    problems: int = bounded(32, 1)
    """Selection problems that each instruction is tried on."""
    answers: int = bounded(512, 1)
    """Budget of each `fit` in answers; answers / problems is the number of instructions."""
    steps: int = bounded(3, 0)
    """Most steps."""
    beam: int = bounded(2, 1)
    """Instructions that each step goes on from."""
    gradients: int = bounded(2, 1)
    """Criticisms of each of them."""
    edits: int = bounded(1, 1)
    """New instructions from each criticism."""
    errors: int = bounded(4, 1)
    """Wrong replies that a criticism sees."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of criticisms and new instructions."""

    def needs(self) -> Needs:
        return Needs(roles=("criticize", "rewrite"))

    def fit_cost(self, given: Given) -> Cost:
        proposals = self.steps * self.beam * self.gradients * (1 + self.edits)
        return search_cost(given, self.answers, self.problems, proposals)

    def fit(self, context: Context) -> dict[str, Any]:
        search = Search(context, "textual_gradients", self.answers, self.problems)
        for _ in range(self.steps):
            known = [(one.text or NONE, search.examples(self.errors, False, one)) for one in search.best(self.beam)]
            parts = [[text, wrong] for text, wrong in known if wrong]
            if search.left < 1 or not parts:
                break
            words = beside(__name__, "textual_gradients_criticize.txt")
            said = proposed(context, "criticize", words, parts, self.gradients, self.temperature)
            pairs = [[text, one] for (text, _), some in zip(parts, said, strict=True) for one in some]
            words = beside(__name__, "textual_gradients_rewrite.txt")
            texts = proposed(context, "rewrite", words, pairs, self.edits, self.temperature)
            search.add(text for some in texts for text in some)
        return search.state()

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await instructed(prompt, session)
