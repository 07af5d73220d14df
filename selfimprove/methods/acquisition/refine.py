"""A second turn: show the model its first attempt, and keep the second one if it is better.

Idea: correcting an attempt is often easier than solving a problem at once. Successful corrections teach the skill of
correcting, or the answer that should have come first.
Survey: transformation-based generation, section 2.4.2.
Paper: arXiv:2503.08681 (STaSC), Moskvoretskii et al., 2025; arXiv:2407.18219 (RISE), Qu et al., 2024.
Algorithm:
  1. The incoming rollouts are first attempts; the recipe's reward rewards them.
  2. Draw `samples` second attempts for each in the role `refine`, which shows the problem and the first attempt.
  3. Keep those with a higher reward than the first attempt; with `keep: not_worse` also those with the same reward if
     it is at least `enough`.
  4. Store them with the prompt that shows the first attempt, or with `attach: problem` with the problem alone.
  5. Return the first attempts as well, or with `first: false` only the second ones.
Differs: two turns, where RISE uses up to five. The optimization decides which weights training starts from (STaSC's
  fixed or evolving model). The number of attempts is our choice.
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
    """Second attempts drawn for each first one."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of the second attempts; 0 is greedy."""
    keep: str = "improved"
    """Second attempts to keep: `improved`, or `not_worse`, which also keeps a good answer that stays good."""
    enough: float = 1.0
    """Lowest reward at which `not_worse` keeps an attempt that did not improve."""
    attach: str = "attempt"
    """Prompt of a stored second attempt: `attempt` (shows the first one) or `problem` (does not)."""
    first: bool = True
    """Return the first attempts too."""

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
        # The reward sees a second attempt as an answer to the problem, whichever prompt it is stored with.
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
