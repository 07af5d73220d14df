"""Monte Carlo tree search over the steps of a solution, at answering time.

Idea: completions that share good first steps are worth more than independent ones; upper confidence bounds say where
  the next completions are spent.
Survey: search, section 5.2.2.
Paper: arXiv:2406.03816 (ReST-MCTS*), Zhang et al., 2024; a trained value guides the search in arXiv:2309.17179
  (TS-LLM), Feng et al., 2024.
Algorithm:
  1. Select the open leaf with the highest upper confidence bounds: mean value plus `explore` times
     sqrt(ln visits of the parent / visits).
  2. Draw `samples` completions from there; the first step of each is a child, the rest is its simulation.
  3. Value each completion: the mean of `evaluations` judgements (`judge`); the share of its final answer among all
     completions so far (`votes`); its probability per token (`model`); the same under the checkpoint's trained
     `verifier`. Add the value to all nodes above. Repeat `iterations` times.
  4. Weigh each final answer by the sum of the values of its completions; return the best completion of the heaviest.
Differs: ReST-MCTS* trains a model on step values, TS-LLM a value head; the trained value here is the likelihood under
  the verifier of arXiv:2402.06457 (V-STaR), the only one that a recipe trains. Simulations run to the end, so that all
  of them vote. The defaults are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.answer_tree import Growth, Tree
from selfimprove.inference.worth import Worth, voted
from selfimprove.interfaces import Context, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("mcts", paper="2406.03816")
@dataclass
class Mcts(Refinement):
    iterations: int = bounded(8, 1)
    """Leaves to expand."""
    samples: int = bounded(3, 1)
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
        worth = Worth(self.value, self.evaluations)
        self._growth = Growth(self.samples, self.separator, self.explore, self.temperature, worth, self.step_tokens)
        self._growth.check("mcts")

    def needs(self) -> Needs:
        return self._growth.worth.needs()

    def cost(self, given: Given) -> Cost:
        return self._growth.cost(given, self.iterations)

    def fit(self, context: Context) -> dict[str, Any]:
        return self._growth.worth.learned(context)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        tree = Tree(prompt, session, self._growth)
        await tree.grow(self.iterations)
        return voted(tree.pool, session)
