"""Self-play preference optimization with KL divergences from a reference policy, in both directions.

Idea: the update of the game ignores where the model came from and may exploit a quirk. A forward divergence keeps what
the reference finds likely (the paper finds shorter answers), a reverse one avoids what it finds unlikely.
Survey: preference optimization, section 4.3; self-play.
Paper: arXiv:2503.00030 (RSPO), Tang et al., 2025.
Algorithm:
  1. The loss of `sppo`: half of the sum over both completions of (log pi - log pi_t - (P - 1/2) / beta) squared, with
     the win rates P that the selection `sppo_pairs` writes and the weights pi_t that training starts from.
  2. With r = pi / ref and w = ref / pi_t of a completion, whose mean over samples of pi_t is 1:
     KL(ref || pi) is the mean of w (r - 1 - log r), KL(pi || ref) that of w (r log r - r + 1). Both are at least 0.
  3. Add `forward_kl` times the first and `reverse_kl` times the second, summed over both completions.
  4. `ref` are the weights of round 0, or with `reference: start` pi_t itself.
Differs: the divergences are estimated on the best and the worst sample of a problem, which are not a random sample. We
  did not check how the paper estimates them, and did not find its weights of the two; those here are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Context, Optimization
from selfimprove.needs import Needs
from selfimprove.records import Checkpoint, Preference, Rollout
from selfimprove.registry import register


@register("rspo", paper="2503.00030")
@dataclass
class Rspo(training.Adapted, training.Referenced, Optimization):
    consumes: ClassVar[Any] = Preference
    beta: float = bounded(1e-3, above=0)
    """One over the step of the game: small values aim far from the start."""
    forward_kl: float = bounded(0.1, 0)
    """Weight of the divergence of the policy from the reference, KL(ref || pi)."""
    reverse_kl: float = bounded(0.1, 0)
    """Weight of the divergence of the reference from the policy, KL(pi || ref)."""
    reference: str = "base"
    """Reference of the divergences: `base` (round 0) or `start` (where training starts)."""
    learning_rate: float = bounded(5e-7, 0, 100)

    def needs(self) -> Needs:
        return super().needs() + Needs(statistics=("logprob",))

    def cost(self, given: Given) -> Cost:
        scored = 2 * given.flow.records if self.reference == "base" else 0
        return super().cost(given) + Cost(scored=scored)

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        job = training.job_of(self, context)
        same = job.reference == job.start
        known = [[*training.win_rates(pair)] for pair in records]
        if not same:
            chosen, rejected = (_scored(side, context) for side in zip(*(pair.sides for pair in records), strict=True))
            known = [[*wins, *sums] for wins, *sums in zip(known, chosen, rejected, strict=True)]

        def loss(pairs: training.Pairs) -> Any:
            total: Any = 0.0
            sides = (pairs.chosen, pairs.chosen_reference), (pairs.rejected, pairs.rejected_reference)
            for side, (now, before) in enumerate(sides):
                reference = before if same else pairs.numbers[:, 2 + side]
                gap, weight = now - reference, (reference - before).exp()
                total = total + (now - before - (pairs.numbers[:, side] - 0.5) / self.beta) ** 2 / 2
                if self.forward_kl:
                    total = total + self.forward_kl * weight * (gap.exp() - 1 - gap)
                if self.reverse_kl:
                    total = total + self.reverse_kl * weight * (gap.exp() * (gap - 1) + 1)
            return total

        return training.pairs(replace(job, reference=job.start), records, loss, numbers=known)


def _scored(rollouts: Sequence[Rollout], context: Context) -> list[float]:
    """The log-probability of each completion under the weights of round 0."""
    return [sum(row) for row in replace(context.policy, checkpoint=context.start).logprobs_of(rollouts)]
