"""A second turn: show the model its first attempt, and keep the second one where it is better.

Idea: correcting an attempt is often easier than being right at once, and the pairs in which it worked can be learned
from: as the skill of correcting, or as the answer that should have come first.
Survey: transformation-based generation, section 2.4.2.
Paper: arXiv:2503.08681 (STaSC), Moskvoretskii et al., 2025; arXiv:2407.18219 (RISE), Qu et al., 2024.
Algorithm:
  1. The incoming rollouts are first attempts; they are scored by the recipe's reward.
  2. Draw `samples` second attempts to each in the role `refine`, which shows the problem and the first attempt.
  3. Keep those with a higher score than the first attempt, or with `keep: not_worse` also those with the same score
     where that is at least `enough`.
  4. Attach them to the prompt that shows the first attempt, or with `attach: problem` to the problem alone.
  5. Give on the first attempts as well, or with `first: false` the second ones alone.
Differs: two turns, where RISE goes on for up to five. From which weights training starts (STaSC's fixed or evolving
  model) is the optimization's business. How many attempts are drawn is our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.revise import revised
from selfimprove.interfaces import Acquisition, Context, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Record, Rollout
from selfimprove.registry import register


@register("refine", paper="2503.08681")
@dataclass
class Refine(Acquisition):
    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Rollout
    samples: int = bounded(1, 1)
    """Second attempts drawn to each first one."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of the second attempts; 0 is greedy."""
    keep: str = "improved"
    """Second attempts that are kept: `improved`, or `not_worse`, which also keeps a good answer left as it is."""
    enough: float = 1.0
    """Lowest score at which `not_worse` keeps an attempt that did not change for the better."""
    attach: str = "attempt"
    """Prompt that a second attempt is stored with: `attempt` (it shows the first one) or `problem` (it does not)."""
    first: bool = True
    """Give on the first attempts too."""

    def __post_init__(self) -> None:
        if self.keep not in ("improved", "not_worse") or self.attach not in ("attempt", "problem"):
            raise RecipeError("acquisition.refine takes keep: improved or not_worse, and attach: attempt or problem")

    def needs(self) -> Needs:
        return Needs(roles=("refine",))

    def cost(self, given: Given) -> Cost:
        came = given.flow
        second = Flow(came.records * self.samples, came.prompts, came.group * self.samples)
        return given.rate(came) + given.draw(second.records) + given.rate(second)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        records = came.records * (self.first + self.samples)
        if self.attach == "problem":
            return Flow(records, came.prompts, came.group * (self.first + self.samples))
        return Flow(records, came.prompts * self.first + came.records, max(came.group * self.first, self.samples))

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        sampling = Sampling(temperature=self.temperature)

        async def again(first: Rollout, session: Session) -> list[Rollout]:
            return await revised(first.prompt, first.text, session, sampling, self.samples)

        before = context.reward(records)
        groups = context.run(again, records, alike=True)
        # The reward marks a second attempt as an answer to the problem, whatever it will be stored with.
        after = iter(
            context.reward(
                [replace(r, prompt=f.prompt) for f, group in zip(before, groups, strict=True) for r in group]
            )
        )
        made = [
            replace(
                rollout,
                prompt=rollout.prompt if self.attach == "attempt" else one.prompt,
                reward=score,
                logprobs=rollout.logprobs if self.attach == "attempt" else None,
                parents=(one.prompt.id, one.id),
                info={**rollout.info, "first_score": one.reward},
            )
            for one, group in zip(before, groups, strict=True)
            for rollout in group
            if self._kept(one.reward, score := next(after).reward)
        ]
        rose = sum(r.reward > r.info["first_score"] for r in made)
        context.log.metric("refine/kept", len(made))
        context.log.metric("refine/improved", rose / max(1, len(records) * self.samples))
        return [*(before if self.first else []), *made]

    def _kept(self, before: float | None, after: float | None) -> bool:
        if before is None or after is None:
            return False
        return after > before or (self.keep == "not_worse" and after == before >= self.enough - 1e-9)
