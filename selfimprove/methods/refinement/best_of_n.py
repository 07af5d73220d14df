"""Sample several answers and return the most likely one under the model itself or under a trained verifier.

Idea: spend compute on choosing at inference instead of on training; no reference answer is used.
Survey: sampling with a scorer, section 5.2.
Paper: arXiv:2110.14168 (Cobbe et al., 2021) for best-of-n; log-probability as the score: arXiv:2412.01951; under a
  verifier trained by preferences: arXiv:2402.06457 (V-STaR), Hosseini et al., 2024.
Algorithm:
  1. Draw `samples` completions at `temperature`.
  2. Compute the log-probability of each, per token or as a whole. With `scorer: verifier` it is that under the weights
     in the folder `verifier` of the checkpoint, which the optimization `vstar` writes.
  3. Return the highest, the first among equals.
Differs: weights without a verifier, such as those of round 0, use their own log-probability. The verifier of
  arXiv:2110.14168 predicts correctness at each token; this one gives a likelihood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import EngineError, RecipeError
from selfimprove.interfaces import Context, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.registry import register


@register("best_of_n", paper="2412.01951")
@dataclass
class BestOfN(Refinement):
    samples: int = bounded(16, 1)
    """Completions per prompt."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""
    per_token: bool = True
    """Divide the log-probability by the number of tokens."""
    scorer: str = "model"
    """Whose log-probability: the `model`'s own, or that of its `verifier` if it has one."""

    def __post_init__(self) -> None:
        if self.scorer not in ("model", "verifier"):
            raise RecipeError(f"refinement.best_of_n.scorer takes model or verifier, not {self.scorer!r}")

    def needs(self) -> Needs:
        return Needs(statistics=("logprob",)) if self.scorer == "verifier" else Needs()

    def cost(self, given: Given) -> Cost:
        return self.samples * given.attempt + Cost(scored=self.samples if self.scorer == "verifier" else 0)

    def fit(self, context: Context) -> dict[str, Any]:
        there = self.scorer == "verifier" and (Path(context.policy.checkpoint.path) / "verifier").is_dir()
        return {"verifier": "verifier"} if there else {}  # relative to the weights, so that a run can be moved

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        drawn = await session.attempts(prompt, self.samples, Sampling(temperature=self.temperature))
        if "verifier" not in session.state:
            return max(drawn, key=self._score)
        folder = Path(session.policy.checkpoint.path) / session.state["verifier"]
        verifier = replace(session.policy, checkpoint=Checkpoint(path=str(folder)))
        rows = await session.logprobs_of(drawn, of=verifier)
        marks = [self._share(math.fsum(row), len(row)) for row in rows]
        return drawn[marks.index(max(marks))]

    def _score(self, rollout: Rollout) -> float:
        if rollout.logprobs is None:
            raise EngineError("refinement best_of_n needs log-probabilities, and this engine gives none")
        return self._share(rollout.logprobs["sum"], rollout.logprobs["count"])

    def _share(self, total: float, tokens: float) -> float:
        return total / (max(1.0, tokens) if self.per_token else 1.0)
