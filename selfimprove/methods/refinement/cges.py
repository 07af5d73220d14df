"""A vote by Bayes' rule: confidences decide how much each sample says, and when enough is known.

Idea: a sample with the confidence c is right with the probability c, so a few sure samples that agree are enough, and a
rare answer can win.
Survey: sampling and voting, section 5.2.
Paper: arXiv:2511.02603 (CGES: Confidence-Guided Early Stopping), Aghazadeh et al., 2025.
Algorithm:
  1. Draw `portion` completions. The confidence c of one is its probability per token, exp(log-probability / tokens).
  2. If the right answer is a, a sample with the confidence c says a with the probability c, and any other of the K
     answers with (1 - c) / (K - 1). Multiply this over all samples, for each answer seen and for one not seen.
  3. Stop if an answer has at least `threshold` of the sum, or after `samples` completions; else go on with 1.
  4. Take the answer with the largest product.
Differs: the paper was read in its abstract only. Step 2 is the plain reading of it: equal priors, K one more than the
  answers seen; the confidences are kept within `FLOOR` of 0 and 1. The paper also takes confidences of reward models.
  The default threshold is ours: tokens of long completions are mostly certain, so their mean overstates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import Candidate, Voting, poll, shares
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register

FLOOR = 0.01


@register("cges", paper="2511.02603")
@dataclass
class Cges(Refinement, Voting):
    samples: int = bounded(16, 1)
    """Most completions per prompt."""
    portion: int = bounded(2, 1)
    """Completions drawn before each look at the posterior."""
    threshold: float = bounded(0.999, 0, 1)
    """Posterior from which on an answer wins."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""

    def cost(self, given: Given) -> Cost:
        return self.samples * given.attempt

    def sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature)

    def more(self, candidates: Sequence[Candidate]) -> int:
        if any(share >= self.threshold for share in posterior(candidates).values()):
            return 0
        return min(self.portion, self.samples - len(candidates))

    def choose(self, candidates: Sequence[Candidate]) -> int:
        likely = posterior(candidates)
        if not likely:
            return 0
        best = max(likely, key=lambda answer: likely[answer])
        mine = [place for place, one in enumerate(candidates) if one.answer == best]
        return max(mine, key=lambda place: candidates[place].mean_logprob)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await poll(self, prompt, session)


def posterior(candidates: Sequence[Candidate]) -> dict[str, float]:
    """The posterior of each answer seen; they add up to less than 1, because the right one may not have been seen."""
    votes = [
        (one.answer, min(1 - FLOOR, max(FLOOR, math.exp(one.mean_logprob))))
        for one in candidates
        if one.answer is not None
    ]
    answers = list(dict.fromkeys(answer for answer, _ in votes))
    if not answers:
        return {}
    others = len(answers)  # K - 1, with an answer that was not seen
    sums = [
        math.fsum(math.log(sure if said == answer else (1 - sure) / others) for said, sure in votes)
        for answer in [*answers, None]
    ]
    return dict(zip(answers, shares(sums), strict=False))
