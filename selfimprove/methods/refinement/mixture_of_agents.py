"""Proposers answer in layers, each seeing all answers of the layer before, and an aggregator has the last word.

Idea: a model answers better when it sees what others have answered, even when theirs is worse.
Survey: sampling and aggregation, section 5.2.
Paper: arXiv:2406.04692 (Mixture-of-Agents), Wang et al., 2024. That one good model with many samples often does better
  than a mixture: arXiv:2502.00674 (Self-MoA), Li et al., 2025.
Algorithm:
  1. In the first layer each of `proposers` answers the problem.
  2. In each further layer, up to `layers`, each answers in the role combine, which shows all answers of the one before.
  3. `aggregate: combine` draws one greedy completion in the role combine, which shows the last layer; `vote` takes the
     most frequent answer of the last layer.
Differs: the paper mixes models of different makers, three layers of six. Proposers here are the run's own weights
  (`own`), or earlier ones of the run: `champion`, `start`, `before`; each may have a temperature, as in `own@1.0`.
  By default all are `own`, which is Self-MoA.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.ballots import candidate_of, winner
from selfimprove.interfaces import GREEDY, Refinement, Sampling, Session
from selfimprove.needs import OTHERS, Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import nearest, register
from selfimprove.text import beside, listed

OWN = "own"
AGGREGATES = ("combine", "vote")


@register("mixture_of_agents", paper="2406.04692")
@dataclass
class MixtureOfAgents(Refinement):
    proposers: list[str] = field(default_factory=lambda: [OWN] * 4)
    """Who answers in each layer: `own`, `champion`, `start` or `before`, with `@` and a temperature if it has one."""
    layers: int = bounded(2, 1)
    """Layers of proposers."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of proposers without their own."""
    aggregate: str = "combine"
    """What becomes of the last layer: `combine`, or a `vote`."""

    def __post_init__(self) -> None:
        if self.aggregate not in AGGREGATES:
            near = nearest(self.aggregate, AGGREGATES)
            raise RecipeError(f"refinement.mixture_of_agents.aggregate cannot be {self.aggregate!r}.{near}")
        if not self.proposers:
            raise RecipeError("refinement.mixture_of_agents.proposers is empty: name at least one, such as own")
        for proposer in self.proposers:
            self._of(proposer)

    def needs(self) -> Needs:
        names = {self._of(proposer)[0] for proposer in self.proposers} - {OWN}
        combines = self.layers > 1 or self.aggregate == "combine"
        return Needs(roles=("combine",) if combines else (), policies=tuple(sorted(names)))

    def cost(self, given: Given) -> Cost:
        own = sum(self._of(proposer)[0] == OWN for proposer in self.proposers)
        first = own * given.attempt + given.draw(len(self.proposers) - own)
        later = (self.layers - 1) * len(self.proposers) + (self.aggregate == "combine")
        return first + given.draw(later)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        kinds = Counter(self._of(proposer) for proposer in self.proposers)
        said = [one for kind, n in kinds.items() for one in await self._first(prompt, kind, n, session)]
        for _ in range(self.layers - 1):
            session.best = _voted(said, session)
            asked = _combined(prompt, said, session)
            drawn = await session.all([self._next(asked, kind, n, session) for kind, n in kinds.items()])
            said = [one for some in drawn for one in some]
        session.best = _voted(said, session)
        if self.aggregate == "vote":
            return session.best
        [reply] = await session.draw(_combined(prompt, said, session), 1, GREEDY, role="combine")
        return reply

    async def _first(self, prompt: Prompt, kind: tuple[str, float], n: int, session: Session) -> list[Rollout]:
        name, temperature = kind
        if name == OWN:
            return await session.attempts(prompt, n, Sampling(temperature=temperature))
        return await session.draw(prompt, n, Sampling(temperature=temperature), of=session.other(name))

    async def _next(self, asked: Prompt, kind: tuple[str, float], n: int, session: Session) -> list[Rollout]:
        name, temperature = kind
        who = None if name == OWN else session.other(name)
        return await session.draw(asked, n, Sampling(temperature=temperature), role="combine", of=who)

    def _of(self, proposer: str) -> tuple[str, float]:
        """The policy of a proposer, and its temperature."""
        name, at, heat = proposer.partition("@")
        place = "refinement.mixture_of_agents.proposers"
        if name not in (OWN, *OTHERS):
            raise RecipeError(f"{place}: no policy is called {name!r}.{nearest(name, (OWN, *OTHERS))}")
        try:
            warm = float(heat) if at else self.temperature
        except ValueError:
            warm = -1.0
        if not 0 <= warm <= 100:
            raise RecipeError(
                f"{place}: {proposer!r} needs a temperature from 0 to 100 after the @, such as {name}@0.7"
            )
        return name, warm


def _combined(prompt: Prompt, said: Sequence[Rollout], session: Session) -> Prompt:
    words = listed(beside(__name__, "mixture_of_agents.txt"), len(said))
    return session.words("combine", prompt, *(one.text for one in said), otherwise=words)


def _voted(said: Sequence[Rollout], session: Session) -> Rollout:
    return said[winner([candidate_of(one, session.answer_of(one)) for one in said])]
