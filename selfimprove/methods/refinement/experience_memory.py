"""A memory of solved problems, of which the nearest are shown before each problem; what does harm is dropped.

Idea: what was solved once need not be found again. But a memory that only grows fills with what misleads, so an item
  stays by what it does, measured with and without it.
Survey: memory, section 5.3.
Paper: arXiv:2605.22148 (Ratchet) for retirement by outcomes and a bounded memory; arXiv:2509.25140 (ReasoningBank),
  2025, for retrieval of earlier experience.
Algorithm:
  1. In `fit` attempt `problems` selection problems `samples` times each. The nearest `examples` items are shown first,
     but each is withheld for a problem with the probability `withhold`, so that chance alone decides who goes without.
  2. Count for each item right and all attempts at problems near it, with it and without it.
  3. Retire an item that was shown `uses` times or more and whose lift, the difference of both shares of right ones, is
     below 0 with a probability above `doubt`. Keep the most helpful `size` items.
  4. Add a right attempt at each problem that the memory does not have.
  5. Answer `trials` selection problems with the memory and without it; it is shown only if it does not lose.
  6. Answer with the nearest `examples` items shown before the problem, the nearest last.
Differs: Ratchet's items are skills that a model writes, ReasoningBank's are strategies in words; here they are worked
  problems, found by BM25 or embeddings. Both learn while they serve; here no answer changes the memory, so that order
  does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.examples import (
    Example,
    Nearest,
    best_right,
    check_retrieval,
    example_of,
    retrieval_needs,
    shown,
)
from selfimprove.interfaces import Context, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("experience_memory", paper="2605.22148")
@dataclass
class ExperienceMemory(Refinement):
    problems: int = bounded(32, 0)
    """Selection problems that each `fit` attempts; with 0 the memory stays as it is."""
    samples: int = bounded(2, 1)
    """Attempts at each of them."""
    examples: int = bounded(3, 0)
    """Items that are shown; with 0 nothing changes."""
    size: int = bounded(64, 1)
    """Most items."""
    withhold: float = bounded(0.5, 0, 1)
    """Probability that an item is withheld in `fit`, to see what it does."""
    uses: int = bounded(10, 1)
    """Attempts with an item before it may be retired."""
    doubt: float = bounded(0.95, above=0, below=1)
    """How sure it must be that an item does harm."""
    trials: int = bounded(32, 0)
    """Selection problems on which the memory must not lose against no memory; 0 always shows it."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of attempts and answers."""

    retrieve: str = "bm25"
    """Which items are near: by shared words (`bm25`), or by the model's own `embeddings`."""

    def __post_init__(self) -> None:
        check_retrieval("experience_memory.retrieve", self.retrieve)

    def needs(self) -> Needs:
        return retrieval_needs(self.retrieve)

    def fit_cost(self, given: Given) -> Cost:
        return (self.problems * self.samples + 2 * self.trials) * max(given.attempt, given.draw())

    def fit(self, context: Context) -> dict[str, Any]:
        items: list[Example] = [dict(one) for one in context.state.get("items", [])]
        near, places = Nearest(items, self.retrieve), {id(one): place for place, one in enumerate(items)}

        async def tried(prompt: Prompt, session: Session) -> dict[str, Any]:
            found = await near.found(prompt, self.examples, session)
            held = [session.random.random() < self.withhold for _ in found]
            given = [one for one, without in zip(found, held, strict=True) if not without]
            drawn = await session.attempts(shown(prompt, given[::-1]), self.samples, self._sampling())
            marks = [session.mark(one) or 0.0 for one in drawn]
            best = best_right(drawn, marks)
            made = example_of(best) | {"prompt": list(prompt.prompt)} if best else None
            arms = [(places[id(one)], without) for one, without in zip(found, held, strict=True)]
            return {"arms": arms, "right": sum(marks), "n": len(marks), "made": made}

        seen = context.run(tried, context.selection(self.problems)) if self.problems else []
        for one in seen:
            for place, without in one["arms"]:
                arm = "without" if without else "with"
                right, n = items[place].get(arm, (0.0, 0))
                items[place][arm] = [right + one["right"], n + one["n"]]
        kept = [one for one in items if not self._harmful(one)]
        known = {one["key"] for one in items}  # what was retired does not come back at once
        kept += [one["made"] for one in seen if one["made"] and one["made"]["key"] not in known]
        context.log.metric("experience_memory/retired", sum(self._harmful(one) for one in items))
        context.log.metric("experience_memory/items", min(self.size, len(kept)))
        kept = sorted(kept, key=lambda one: -_lift(one)[0])[: self.size]
        return {"items": kept, "shown": self._serves(context, kept)}

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        items = session.state.get("items", []) if session.state.get("shown", True) else []
        asked = await self._recalled(prompt, Nearest(items, self.retrieve), session)
        return (await session.attempts(asked, 1, self._sampling()))[0]

    async def _recalled(self, prompt: Prompt, near: Nearest, session: Session) -> Prompt:
        return shown(prompt, (await near.found(prompt, self.examples, session))[::-1])

    def _serves(self, context: Context, items: Sequence[Example]) -> bool:
        """Whether no more selection problems are answered right without the memory than with it."""
        if not (items and self.trials and self.examples):
            return True
        near = Nearest(items, self.retrieve)

        async def gained(prompt: Prompt, session: Session) -> float:
            both = await self._recalled(prompt, near, session), prompt
            made = [(await session.attempts(one, 1, self._sampling()))[0] for one in both]
            right, plain = (session.mark(one) or 0.0 for one in made)
            return right - plain

        gain = context.run(gained, context.selection(self.trials))
        context.log.metric("experience_memory/gain", sum(gain) / max(1, len(gain)))
        return sum(gain) >= 0

    def _sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature)

    def _harmful(self, item: Example) -> bool:
        """Whether the item is retired."""
        if _arm(item, "with")[1] < self.uses:
            return False
        lift, error = _lift(item)
        return 0.5 * math.erfc(lift / error / math.sqrt(2)) > self.doubt


def _arm(item: Example, name: str) -> Sequence[float]:
    return item.get(name, (0.0, 0))


def _lift(item: Example) -> tuple[float, float]:
    """The difference of the shares of right attempts with and without an item, and its standard error.

    Both shares are those of a Beta posterior from a uniform prior; the difference is taken as normal.
    """
    means, variances = list[float](), list[float]()
    for name in ("with", "without"):
        right, n = _arm(item, name)
        mean = (right + 1) / (n + 2)
        means.append(mean)
        variances.append(mean * (1 - mean) / (n + 3))
    return means[0] - means[1], math.sqrt(sum(variances))
