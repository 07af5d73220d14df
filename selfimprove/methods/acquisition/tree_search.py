"""Tree search over the steps of a solution, which also values each step by its progress towards a correct solution.

Idea: independent samples spend as much on a bad first step as on a good one. A tree continues from steps that led to
  correct solutions, so it solves hard problems more often, and it shows for each step whether one was found after it.
Survey: search-based generation, section 2.4.2; process rewards, section 4.3.2.
Paper: arXiv:2406.03816 (ReST-MCTS*), Zhang et al., 2024.
Algorithm:
  1. In each problem's tree select the open leaf with the highest upper confidence bounds: mean value plus `explore`
     times sqrt(ln visits of the parent / visits).
  2. Draw `samples` completions from there. The first step of each, up to a `separator`, is a child; the rest is its
     simulation. Its value is the reward of the whole solution (`rollout`), or the model's mean probability per token of
     it (`self`). Add it to all nodes above. Repeat `iterations` times, for all problems at once, or until a problem has
     `enough` right solutions (reward 1).
  3. Step k of a solution has m_k, the fewest steps from there to a known right solution, and r_k = 0; if no right
     solution is known after it, r_k = 1 and m_k is that of the previous step. v_0 = 0, w_k = (1 - v_(k-1)) / (m_k + 1)
     * (1 - 2 r_k), v_k = max(v_(k-1) + w_k, 0). Return each solution once: its reward is the last v, info["values"] has
     all of them.
Differs: the paper takes values from a model trained on these v; here the search uses simulations or the model's own
  probability, and no model is trained to value steps. Three children are from its code; iterations and exploration are
  our choice. The reward of a right solution is exactly 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.tree import search
from selfimprove.interfaces import Acquisition, Context, Sampling, Session
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register
from selfimprove.text import steps_of


@register("tree_search", paper="2406.03816")
@dataclass
class TreeSearch(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Rollout
    separator: str = "\n"
    """What ends a step; `;` in the tiny tasks."""
    iterations: int = bounded(8, 1)
    """Leaves to expand in each tree."""
    samples: int = bounded(3, 1)
    """Completions from each leaf."""
    value: str = "rollout"
    """Value of a simulation: the reward of the whole solution (`rollout`), or the model's own probability (`self`)."""
    explore: float = 1.0
    """Weight of the exploration term, which favours nodes with few visits."""
    enough: int = bounded(4, 1)
    """Number of different right solutions that ends the search of a problem."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature."""

    def __post_init__(self) -> None:
        if self.value not in ("rollout", "self"):
            raise RecipeError(f"acquisition.tree_search.value is {self.value!r}; it must be rollout or self")
        if not self.separator:
            raise RecipeError("acquisition.tree_search needs a separator")

    def cost(self, given: Given) -> Cost:
        came = given.flow
        leaf = Flow(came.records * self.samples, came.prompts, came.group * self.samples)
        return self.iterations * (given.draw(leaf.records) + given.rate(leaf))

    def gives(self, given: Given) -> Flow:
        came, ends = given.flow, self.samples * self.iterations
        return Flow(came.records * ends, came.prompts, came.group * ends)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        async def solutions(prompt: Prompt, session: Session) -> list[Rollout]:
            async def value(ends: Sequence[Rollout], whole: Sequence[Rollout]) -> list[tuple[Rollout, float]]:
                rewarded = await session.rewarded(whole)
                worth = [one.reward or 0.0 for one in rewarded] if self.value == "rollout" else map(_sureness, ends)
                return list(zip(rewarded, worth, strict=True))

            return await search(
                prompt,
                session,
                iterations=self.iterations,
                samples=self.samples,
                separator=self.separator,
                explore=self.explore,
                sampling=Sampling(temperature=self.temperature),
                value=value,
                enough=lambda found: sum(map(_right, found)) >= self.enough,
            )

        found = context.run(solutions, records, alike=True)
        solved = sum(any(map(_right, own)) for own in found)
        context.log.metric("tree_search/solved", solved / max(1, len(records)))
        context.log.metric("tree_search/solutions", sum(map(len, found)))
        return [rollout for own in found for rollout in self._valued(own)]

    def _valued(self, solutions: Sequence[Rollout]) -> list[Rollout]:
        """The solutions of a problem with the values of their steps."""
        cut = {one.text: list(accumulate(steps_of(one.text, self.separator))) for one in solutions}
        left: dict[str, int] = {}
        for one in filter(_right, solutions):
            for place, begin in enumerate(cut[one.text], 1):
                left[begin] = min(left.get(begin, len(cut[one.text])), len(cut[one.text]) - place)
        shortest = min((len(cut[one.text]) for one in filter(_right, solutions)), default=0)
        valued = []
        for one in solutions:
            values, needed = [0.0], shortest
            for begin in cut[one.text]:
                needed, good = left.get(begin, needed), begin in left
                gain = (1 - values[-1]) / (needed + 1)
                values.append(max(0.0, values[-1] + (gain if good else -gain)))
            valued.append(replace(one, reward=values[-1], info={**one.info, "values": values[1:]}))
        return valued


def _right(rollout: Rollout) -> bool:
    return rollout.reward is not None and rollout.reward >= 1.0 - 1e-9


def _sureness(end: Rollout) -> float:
    """The geometric mean of the probabilities of its tokens."""
    known = end.logprobs or {"sum": 0.0, "count": 0}
    return math.exp(known["sum"] / known["count"]) if known["count"] else 0.0
