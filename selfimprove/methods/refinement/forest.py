"""Several search trees for a problem; the most promising ones grow on, and their answers are put to the vote.

Idea: a tree that begins badly rarely recovers. Independent trees make different beginnings, and spending is
  concentrated on those that look right.
Survey: search, section 5.2.2.
Paper: arXiv:2412.09078 (Forest-of-Thought), Bi et al., 2024.
Algorithm:
  1. Plant `trees` trees: one expansion of `samples` completions each, valued as in `mcts`.
  2. Sparse activation: the `active` trees with the highest mean value grow on by `iterations` - 1 expansions each, with
     upper confidence bounds; the others stay as they are and do not vote.
  3. Each active tree gives the answer that weighs most in it. The most frequent answer wins; of equally frequent ones
     the one whose completions are worth more (`judge`: as an expert would say), then the first.
Differs: the paper lets trees begin with retrieved examples or other wordings and corrects steps with low probability;
  here sampling makes them different, and nothing is corrected: put `revise` or `self_refine` behind it for that. Its
  best results have 4 to 8 trees; the defaults are our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.answer_tree import Growth, Tree
from selfimprove.inference.worth import Worth, voted
from selfimprove.interfaces import Context, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("forest", paper="2412.09078")
@dataclass
class Forest(Refinement):
    trees: int = bounded(4, 1)
    """Trees that are planted."""
    active: int = bounded(2, 1)
    """Trees that grow on and vote."""
    iterations: int = bounded(4, 1)
    """Expansions of an active tree, the first one included."""
    samples: int = bounded(2, 1)
    """Completions from each leaf."""
    explore: float = bounded(1.0, 0, 1e6)
    """Weight of the exploration term, which favours nodes with few visits."""
    value: str = "judge"
    """Who values completions: `judge`, `votes`, `model` or `verifier`."""
    evaluations: int = bounded(1, 1)
    """Judgements of each completion; one is greedy."""
    separator: str = "\n"
    """What ends a step; `;` in the tiny tasks."""
    step_tokens: int = bounded(0, 0)
    """Tokens of a step, if above 0, instead of a separator; the rest of a completion is then drawn by itself."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""

    def __post_init__(self) -> None:
        if self.active > self.trees:
            raise RecipeError(f"refinement.forest: {self.active} active trees of {self.trees}; lower active")
        worth = Worth(self.value, self.evaluations)
        self._growth = Growth(self.samples, self.separator, self.explore, self.temperature, worth, self.step_tokens)
        self._growth.check("forest")

    def needs(self) -> Needs:
        return self._growth.worth.needs()

    def cost(self, given: Given) -> Cost:
        later = self.active * (self.iterations - 1) * self._growth.leaf_cost(given)
        return self.trees * self._growth.cost(given, 1) + later

    def fit(self, context: Context) -> dict[str, Any]:
        return self._growth.worth.learned(context)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        planted = [Tree(prompt, session, self._growth) for _ in range(self.trees)]
        await session.all([tree.grow(1) for tree in planted])
        chosen = sorted(planted, key=_promise, reverse=True)[: self.active]
        await session.all([tree.grow(self.iterations - 1) for tree in chosen])
        spoken = [voted(tree.pool, session) for tree in chosen]
        worth = [_sum(tree, session.answer_of(one), session) for tree, one in zip(chosen, spoken, strict=True)]
        most = max(1.0, *worth) * (len(chosen) + 1)
        return voted([(one, 1.0 + value / most) for one, value in zip(spoken, worth, strict=True)], session)


def _promise(tree: Tree) -> float:
    return math.fsum(value for _, value in tree.pool) / max(1, len(tree.pool))


def _sum(tree: Tree, answer: str | None, session: Session) -> float:
    """What the completions with an answer are worth together."""
    return math.fsum(value for one, value in tree.pool if session.answer_of(one) == answer)
