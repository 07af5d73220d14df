"""The model criticizes its own attempt and writes it anew, as long as it finds something wrong.

Idea: it is easier to see a mistake than not to make it. Where that is not so, the model talks itself out of right
  answers; so a new attempt has to be preferred to the old one.
Survey: feedback and self-correction, section 5.3.
Paper: arXiv:2303.17651 (Self-Refine), Madaan et al., 2023.
Algorithm:
  1. Draw an attempt.
  2. Draw a critique in the role `critique`. If it ends with #y the attempt is the answer.
  3. Draw another attempt in the role `repair`, which sees the last one and the critique.
  4. With `keep: compare` it counts only if the role `compare` prefers it to the best one so far in both orders;
     with `judge`, if the role `judge` calls it right and the best one not; with `last`, always.
  5. Go on with the best one from 2, `rounds` times at most. A critique of an attempt that stays is drawn anew.
Differs: the paper has at most 4 rounds, shows all earlier ones, and keeps the last (`keep: last`, `rounds: 4`). On
  arithmetic without any other feedback that lowers accuracy (arXiv:2310.01798).
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.feedback import KEEPS, better, critiqued, keeping, repaired
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("self_refine", paper="2303.17651")
@dataclass
class SelfRefine(Refinement):
    rounds: int = bounded(2, 1)
    """Most critiques."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of attempts and critiques."""
    keep: str = "compare"
    """Which attempt stays: `compare`, the one preferred in both orders; `judge`, the one called right; `last`."""

    def __post_init__(self) -> None:
        if self.keep not in KEEPS:
            raise RecipeError(f"refinement.self_refine.keep takes {', '.join(KEEPS)}, not {self.keep!r}")

    def needs(self) -> Needs:
        return Needs(roles=("critique", "repair")) + keeping(self.keep)

    def cost(self, given: Given) -> Cost:
        return given.attempt + given.draw(self.rounds * (2 if self.keep == "last" else 4))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature)
        [best] = await session.attempts(prompt, 1, sampling)
        for _ in range(self.rounds):
            critique, fine = await critiqued(prompt, best.text, session, sampling)
            if fine:
                break
            made = await repaired(prompt, best.text, critique, session, sampling)
            if await better(prompt, best, made, session, self.keep):
                session.best = best = made
        return best
