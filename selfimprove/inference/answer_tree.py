"""Search trees at answering time, which can be grown further; used by `mcts` and `forest`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from selfimprove.costs import Cost, Given
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

    def cost(self, given: Given, iterations: int) -> Cost:
        """The most that this many expansions of a tree take; the first completions are attempts."""
        later = self.samples * (iterations - 1)
        return self.samples * given.attempt + given.draw(later) + self.worth.cost(given, self.samples + later)


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
