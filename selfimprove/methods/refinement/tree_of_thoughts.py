"""A search over steps that the model values itself: the best few at each depth, or the most promising first.

Idea: a plan may have to look ahead and turn back. States of a tree are beginnings of a solution; the model proposes
  next steps and says how promising each state is.
Survey: search, section 5.2.2.
Paper: arXiv:2305.10601 (Tree of Thoughts), Yao et al., 2023.
Algorithm:
  1. Draw `thoughts` next steps of a state; equal states count once.
  2. Value each new state: by the judge, `evaluations` times (`judge`), by the probability per token (`model`), or by
     the checkpoint's `verifier`.
  3. `bfs`: keep the `breadth` best states of each depth, up to `depth` steps. `dfs`: go on from the best step, leave
     out states with a value below `threshold`, and turn back where none is left; end at the first whole solution, or
     after `breadth` x `depth` expansions.
  4. The best whole solution is the answer; if there is none, the best state is continued to its end.
Differs: the paper writes proposal and value prompts for each task; here steps are drawn from the model with a separator
  as their end, and the task's judge values. Its Game of 24 keeps 5 states and values each three times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.paths import ROOT, Path, Steps, best_of, different
from selfimprove.inference.worth import Worth
from selfimprove.interfaces import Context, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register

Valued = list[tuple[Path, float]]


@register("tree_of_thoughts", paper="2305.10601")
@dataclass
class TreeOfThoughts(Refinement):
    search: str = "bfs"
    """`bfs`: the best states of each depth; `dfs`: the most promising first."""
    breadth: int = bounded(5, 1)
    """States kept at each depth."""
    thoughts: int = bounded(5, 1)
    """Steps drawn from each state."""
    depth: int = bounded(8, 1)
    """Most steps of a solution."""
    value: str = "judge"
    """Who values states: `judge`, `model` or `verifier`."""
    evaluations: int = bounded(3, 1)
    """Judgements of each state; one is greedy."""
    threshold: float = bounded(0.5, 0, 1)
    """Lowest value of a state from which `dfs` goes on."""
    separator: str = "\n"
    """What ends a step; `;` in the tiny tasks."""
    step_tokens: int = bounded(0, 0)
    """Tokens of a step, if above 0, instead of a separator."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of steps."""

    def __post_init__(self) -> None:
        if self.search not in ("bfs", "dfs"):
            raise RecipeError(f"refinement.tree_of_thoughts.search takes bfs or dfs, not {self.search!r}")
        self._steps = Steps(self.separator, self.step_tokens)
        self._steps.check("tree_of_thoughts")
        self._worth = Worth(self.value, self.evaluations)
        self._worth.check("tree_of_thoughts.value", ("judge", "model", "verifier"))

    def needs(self) -> Needs:
        return self._steps.needs() + self._worth.needs()

    def cost(self, given: Given) -> Cost:
        later = self.breadth * (self.depth - 1) * self.thoughts
        steps = self._steps.cost(given, self.thoughts, later)
        return steps + self._worth.cost(given, self.thoughts + later) + given.draw()

    def fit(self, context: Context) -> dict[str, Any]:
        return self._worth.learned(context)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        pool, open_ = await (self._bfs if self.search == "bfs" else self._dfs)(prompt, session)
        if pool:
            return best_of(pool)
        state = max(open_, key=lambda one: one[1])[0]
        return best_of([(await self._steps.finish(prompt, state, session, self.temperature), 0.0)])

    async def _bfs(self, prompt: Prompt, session: Session) -> tuple[Valued, Valued]:
        """Whole solutions, and the last states that are not."""
        states, pool = [(ROOT, 0.0)], Valued()
        for _ in range(self.depth):
            new = await self._expanded(prompt, [path for path, _ in states], session)
            pool += [one for one in new if one[0].whole]
            open_ = sorted((one for one in new if not one[0].whole), key=lambda one: -one[1])
            session.best = best_of(pool or open_)
            if not open_:
                break
            states = open_[: self.breadth]
        return pool, states

    async def _dfs(self, prompt: Prompt, session: Session) -> tuple[Valued, Valued]:
        """The first whole solution with a good value, else all that were found, and all states."""
        stack, pool, seen = [(ROOT, 0.0)], Valued(), Valued()
        known = {""}
        for _ in range(1 + self.breadth * (self.depth - 1)):
            if not stack:
                break
            state, _ = stack.pop()
            new = await self._expanded(prompt, [state], session)
            new = [one for one in new if one[0].text not in known or one[0].whole]
            known |= {path.text for path, _ in new}
            pool += [one for one in new if one[0].whole]
            seen += [one for one in new if not one[0].whole]
            session.best = best_of(pool or seen)
            if good := [one for one in pool if one[1] >= self.threshold]:
                return good, []
            if state.steps + 1 < self.depth:
                good = [one for one in new if not one[0].whole and one[1] >= self.threshold]
                stack += sorted(good, key=lambda one: one[1])
        return pool, seen

    async def _expanded(self, prompt: Prompt, states: list[Path], session: Session) -> Valued:
        """The different next states with their values."""
        grow = self._steps.grow
        grown = await session.all([grow(prompt, one, self.thoughts, session, self.temperature) for one in states])
        new = different(path for paths in grown for path in paths)
        values = await self._worth.of(prompt, [path.solution for path in new if path.solution], session)
        return list(zip(new, values, strict=True))
