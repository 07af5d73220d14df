"""Search trees at answering time, which can be grown further; used by `mcts` and `forest`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from selfimprove.costs import Cost, Given
from selfimprove.inference.paths import Steps
from selfimprove.inference.tree import Node, search
from selfimprove.inference.worth import Worth, voted
from selfimprove.interfaces import Sampling, Session
from selfimprove.records import Prompt, Rollout


@dataclass(frozen=True)
class Growth:
    """How a tree grows."""

    samples: int
    """Completions from each leaf."""
    separator: str
    explore: float
    temperature: float
    worth: Worth
    step_tokens: int = 0
    """Tokens of a step, if above 0, instead of a separator."""

    def check(self, method: str) -> None:
        """
        Raises:
            RecipeError: nothing would end a step, or nobody is called like who values completions.
        """
        self.worth.check(f"{method}.value")
        Steps(self.separator, self.step_tokens).check(method)

    def cost(self, given: Given, iterations: int) -> Cost:
        """The most that this many expansions of a tree take; the first completions are attempts."""
        later = self.samples * (iterations - 1)
        drawn = self.samples * given.attempt + self._drawn(given, later, self.samples + later)
        return drawn + self.worth.cost(given, self.samples + later)

    def leaf_cost(self, given: Given) -> Cost:
        """The most that one more expansion takes."""
        return self._drawn(given, self.samples, self.samples) + self.worth.cost(given, self.samples)

    def _drawn(self, given: Given, begun: int, rests: int) -> Cost:
        """The most that completions from a leaf take; steps by tokens are drawn apart from the rests of simulations."""
        return given.draw(begun, self.step_tokens) + given.draw(rests) if self.step_tokens else given.draw(begun)


@dataclass
class Tree:
    """The tree of a problem.

    Args:
        pool: completions with their values, of this tree or of several that vote together.
    """

    prompt: Prompt
    session: Session
    growth: Growth
    pool: list[tuple[Rollout, float]] = field(default_factory=list)
    root: Node = field(default_factory=Node)

    async def grow(self, iterations: int) -> None:
        """Expand this many leaves, or all that are open; the session's best answer is kept up to date."""
        await search(
            self.prompt,
            self.session,
            iterations=iterations,
            samples=self.growth.samples,
            separator=self.growth.separator,
            step_tokens=self.growth.step_tokens,
            explore=self.growth.explore,
            sampling=Sampling(temperature=self.growth.temperature),
            value=self._valued,
            enough=lambda found: False,
            root=self.root,
        )

    async def _valued(self, ends: Sequence[Rollout], whole: Sequence[Rollout]) -> list[tuple[Rollout, float]]:
        worth = self.growth.worth
        shown = ends if worth.way == "model" else whole  # the model's probability is known of what it drew last
        known = [one for one, _ in self.pool]
        found = list(zip(whole, await worth.of(self.prompt, shown, self.session, known), strict=True))
        self.pool += found
        self.session.best = voted(self.pool, self.session)
        return found
