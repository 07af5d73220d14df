"""Search for solutions step by step in a tree, and value each step by how far it leads towards a right end.

Idea: whole samples spend as much on a hopeless beginning as on a good one. A tree goes on from where right ends were
  reached, so hard problems get solved more often, and it knows of each step whether a right end is known behind it.
Survey: search-based generation, section 2.4.2; process rewards, section 4.3.2.
Paper: arXiv:2406.03816 (ReST-MCTS*), Zhang et al., 2024.
Algorithm:
  1. Of each problem's tree take the open leaf that upper confidence bounds lead to: mean value plus `explore` times
     sqrt(ln visits of the parent / visits).
  2. Draw `samples` completions from there. The first step of each, up to a `separator`, is a child; the rest is its
     simulation. Its value is the reward of the whole (`rollout`), or the model's own mean probability per token of it
     (`self`). Add it to all nodes above. Repeat `iterations` times, all problems at once, or until a problem has
     `enough` right solutions (score 1).
  3. Of each solution step k has m_k, the fewest steps from there to a known right end, and r_k = 1 where none is known
     behind it, else 0; m_k is then that of the step before. v_0 = 0, w_k = (1 - v_(k-1)) / (m_k + 1) * (1 - 2 r_k),
     v_k = max(v_(k-1) + w_k, 0). Given on is each solution once, its score the last v, all of them in info["values"].
Differs: the paper's values come from a model that is trained on these v; here the search has simulations or the
  model's own probability, and nothing is trained to score steps. Three children are those of its code; the number of
  iterations and the constant of exploration are our choice. A right solution scores exactly 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register
from selfimprove.text import prefilled, steps_of


@dataclass
class Node:
    """A beginning of a solution."""

    text: str = ""
    above: Node | None = None
    closed: bool = False
    """Whether it is a whole solution, or has no open node below."""
    visits: int = 0
    total: float = 0.0
    below: dict[str, Node] = field(default_factory=dict)

    def leaf(self, explore: float) -> Node | None:
        """The open leaf that is to be tried next; None where all is closed."""
        node = self
        while node.below:
            open_ = [child for child in node.below.values() if not child.closed]
            if not open_:
                node.closed = True
                return None if node.above is None else self.leaf(explore)
            visits = node.visits
            node = max(
                open_,
                key=lambda one: one.total / one.visits + explore * math.sqrt(math.log(visits) / one.visits),
            )
        return None if node.closed else node

    def add(self, step: str, value: float, whole: bool) -> None:
        """A child with one more simulation of this value."""
        node: Node | None = self.below.setdefault(step, Node(text=self.text + step, above=self))
        self.below[step].closed |= whole
        while node is not None:
            node.visits, node.total, node = node.visits + 1, node.total + value, node.above


@register("tree_search", paper="2406.03816")
@dataclass
class TreeSearch(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Rollout
    separator: str = "\n"
    """What ends a step; `;` in the tiny tasks."""
    iterations: int = bounded(8, 1)
    """Leaves that are gone on from in each tree."""
    samples: int = bounded(3, 1)
    """Completions from each leaf."""
    value: str = "rollout"
    """What a simulation is worth: the reward of the whole (`rollout`), or the model's own probability (`self`)."""
    explore: float = 1.0
    """Weight of what was tried little."""
    enough: int = bounded(4, 1)
    """Different right solutions after which a problem is left alone."""
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
        trees = [Node() for _ in records]
        found: list[dict[str, Rollout]] = [{} for _ in records]
        for _ in range(self.iterations):
            short = [i for i in range(len(records)) if sum(map(_right, found[i].values())) < self.enough]
            leaves = [(i, leaf) for i in short if (leaf := trees[i].leaf(self.explore)) is not None]
            if not leaves:
                break
            asked = [prefilled(records[i], leaf.text) for i, leaf in leaves]
            drawn = context.policy.sample(asked, self.samples, Sampling(temperature=self.temperature))
            whole = [
                self._whole(end, records[i], leaf)
                for (i, leaf), ends in zip(leaves, drawn, strict=True)
                for end in ends
            ]
            scored = iter(context.reward(whole))
            for (i, leaf), ends in zip(leaves, drawn, strict=True):
                for end in ends:
                    solution, steps = next(scored), steps_of(end.text, self.separator)
                    worth = solution.reward if self.value == "rollout" else _sureness(end)
                    leaf.add(steps[0] if steps else "", worth or 0.0, whole=len(steps) < 2)
                    found[i].setdefault(solution.text, solution)
        solved = sum(any(map(_right, own.values())) for own in found)
        context.log.metric("tree_search/solved", solved / max(1, len(records)))
        context.log.metric("tree_search/solutions", sum(map(len, found)))
        return [rollout for own in found for rollout in self._valued(list(own.values()))]

    def _whole(self, end: Rollout, prompt: Prompt, leaf: Node) -> Rollout:
        """The solution that a simulation came to; its parts were drawn one by one, so it has no one probability."""
        said = [{"role": "assistant", "content": leaf.text + end.text}]
        return replace(end, prompt=prompt, completion=said, logprobs=None)

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
