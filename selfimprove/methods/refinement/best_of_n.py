"""Sample several answers and return the best one under a scorer, or the answer whose scores add up to most.

Idea: spend compute on choosing at inference instead of on training; no reference answer is used.
Survey: sampling with a scorer, section 5.2.
Paper: arXiv:2110.14168 (Cobbe et al., 2021) for best-of-n; log-probability as the score: arXiv:2412.01951; under a
  verifier trained by preferences: arXiv:2402.06457 (V-STaR), Hosseini et al., 2024; the sum of scores of equal answers:
  arXiv:2206.02336 (DiVeRSe), Li et al., 2022.
Algorithm:
  1. Draw `samples` completions at `temperature`.
  2. Score each. `scorer: model` takes its log-probability, per token or as a whole; `verifier` that under the weights
     in the folder `verifier` of the checkpoint, which the optimization `vstar` writes; `judge` the mean of `judgements`
     judgements of the model in the role judge; `executor` 1 if the task's tool `tool` finds nothing wrong, else 0;
     `reward` the recipe's reward with the name `reward`.
  3. Return the highest, the first among equals. With `vote`, add up the scores of equal answers, log-probabilities as
     probabilities; the heaviest answer wins, with its best completion.
Differs: weights without a verifier, such as those of round 0, use their own log-probability. The verifier of
  arXiv:2110.14168 predicts correctness at each token; this one gives a likelihood. A reward that needs reference
  answers gives none here. The more samples, the harder an imperfect scorer is exploited: compare a few numbers of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import EngineError, RecipeError
from selfimprove.inference.ballots import Candidate, Voting, candidate_of, winner
from selfimprove.inference.feedback import TOOLS, Check
from selfimprove.inference.worth import Worth
from selfimprove.interfaces import Context, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.registry import nearest, register

SCORERS = ("model", "verifier", "judge", "executor", "reward")


@register("best_of_n", paper="2412.01951")
@dataclass
class BestOfN(Refinement, Voting):
    samples: int = bounded(16, 1)
    """Completions per prompt."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""
    per_token: bool = True
    """Divide the log-probability by the number of tokens."""
    scorer: str = "model"
    """Who scores: the `model` by its log-probability, its `verifier` if it has one, a `judge`, an `executor` that
    runs a tool of the task, or a `reward`."""
    vote: bool = False
    """Add up the scores of equal answers."""
    judgements: int = bounded(1, 1)
    """With `scorer: judge`: judgements of each completion; a single one is greedy."""
    tool: str = "tests"
    """With `scorer: executor`: `tests` runs programs on public tests, `calculator` looks at the sums in a text."""
    reward: str = ""
    """With `scorer: reward`: the name of one of the recipe's rewards."""

    def __post_init__(self) -> None:
        if self.scorer not in SCORERS:
            near = nearest(self.scorer, SCORERS)
            raise RecipeError(f"refinement.best_of_n.scorer cannot be {self.scorer!r}.{near}")
        Check(self.tool).known("best_of_n.tool", TOOLS)
        if (self.scorer == "reward") != bool(self.reward):
            raise RecipeError("refinement.best_of_n: scorer=reward and reward=NAME, one of the recipe's, go together")

    def needs(self) -> Needs:
        match self.scorer:
            case "verifier":
                return Needs(statistics=("logprob",))
            case "judge":
                return Needs(roles=("judge",))
            case "executor":
                return Check(self.tool).needs()
        return Needs()

    def cost(self, given: Given) -> Cost:
        drawn = self.samples * given.attempt
        match self.scorer:
            case "verifier":
                return drawn + Cost(scored=self.samples)
            case "judge":
                return drawn + given.draw(self.samples * self.judgements)
            case "executor":
                return drawn + self.samples * Check(self.tool).cost(given.draw())
            case "reward":
                return drawn + given.rate(Flow(self.samples, 1, self.samples))
        return drawn

    def fit(self, context: Context) -> dict[str, Any]:
        there = self.scorer == "verifier" and (Path(context.policy.checkpoint.path) / "verifier").is_dir()
        return {"verifier": "verifier"} if there else {}  # relative to the weights, so that a run can be moved

    def sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature)

    def more(self, candidates: Sequence[Candidate]) -> int:
        return self.samples - len(candidates)

    def choose(self, candidates: Sequence[Candidate]) -> int:
        likely = self.scorer in ("model", "verifier")
        scores = [self._score(one) for one in candidates]
        if not self.vote:
            return scores.index(max(scores))
        most = max(scores)
        weights = [math.exp(score - most) if likely else max(0.0, score) for score in scores]
        return winner(candidates, weights)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        drawn = await session.attempts(prompt, self.samples, self.sampling())
        said = [candidate_of(one, session.answer_of(one)) for one in drawn]
        scores = await self._scores(prompt, drawn, session)
        return drawn[self.choose([replace(one, score=score) for one, score in zip(said, scores, strict=True)])]

    async def _scores(self, prompt: Prompt, drawn: Sequence[Rollout], session: Session) -> Sequence[float | None]:
        """What the scorer says of each; None where the model's own log-probability counts."""
        match self.scorer:
            case "verifier" if "verifier" in session.state:
                folder = Path(session.policy.checkpoint.path) / session.state["verifier"]
                verifier = replace(session.policy, checkpoint=Checkpoint(path=str(folder)))
                rows = await session.logprobs_of(drawn, of=verifier)
                return [self._share(math.fsum(row), len(row)) for row in rows]
            case "judge":
                return await Worth("judge", self.judgements).of(prompt, drawn, session)
            case "executor":
                check = Check(self.tool)
                found = await session.all([check.faults(prompt, one, session) for one in drawn])
                return [float(not faults) for faults in found]
            case "reward":
                marks = await session.rate(drawn, self.reward)
                return [-math.inf if mark is None else mark for mark in marks]
        return [None] * len(drawn)

    def _score(self, candidate: Candidate) -> float:
        if candidate.score is not None:
            return candidate.score
        if self.scorer not in ("model", "verifier"):
            raise RecipeError(f"refinement.best_of_n: a {self.scorer} has not scored these samples")
        if candidate.logprob is None:
            raise EngineError("refinement best_of_n needs log-probabilities, and this engine gives none")
        return self._share(candidate.logprob, candidate.tokens)

    def _share(self, total: float, tokens: float) -> float:
        return total / (max(1.0, tokens) if self.per_token else 1.0)
