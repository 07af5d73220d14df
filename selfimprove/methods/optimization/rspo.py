"""Self-play preference optimization with KL divergences from a reference policy, in both directions.

Idea: the update of the game ignores where the model came from and may exploit a quirk. A forward divergence keeps what
the reference finds likely (the paper finds shorter answers), a reverse one avoids what it finds unlikely.
Survey: preference optimization, section 4.3; self-play.
Paper: arXiv:2503.00030 (RSPO), Tang et al., 2025.
Algorithm:
  1. The loss of `sppo`: half of the sum over both completions of (log pi - log pi_t - (P - 1/2) / beta) squared, with
     the win rates P that the selection `sppo_pairs` writes and the weights pi_t that training starts from.
  2. With r = pi / ref and w = ref / pi_t of a token, whose mean over tokens drawn from pi_t is 1: KL(ref || pi) is the
     mean of w (r - 1 - log r), KL(pi || ref) that of w (r log r - r + 1). Both are at least 0. The divergence of a
     completion is the sum over its tokens.
  3. Add `forward_kl` times the first and `reverse_kl` times the second, summed over both completions.
  4. `ref` are the weights of round 0, or with `reference: start` pi_t itself.
  5. No ratio overflows: log w counts at most as LIMIT nats, and where pi / pi_t, which is w r, is beyond LIMIT nats the
     slopes of both terms keep its value there. So every token keeps its pull towards `ref`.
Differs: by tokens, because ratios of completions of thousands of tokens are infinite or 0; so the divergences are those
  of the next token after beginnings drawn from pi_t. A public review of the paper says that its forward divergence is
  importance-sampled, and that elsewhere completions of pi_t stand for those of pi without a weight. Its formulas and
  its weights of the two divergences are not verified; those here are our choice. They are measured on the best and the
  worst sample of a problem, which are not a random sample.
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

LIMIT = 5.0
"""Nats of a token's log-ratio to pi_t, a factor of 148; what lies beyond is limited."""


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
        known = None
        if job.reference != job.start:
            sides = zip(*(pair.sides for pair in records), strict=True)
            known = [*zip(*(_scored(side, context) for side in sides), strict=True)]

        def loss(pairs: training.Pairs) -> Any:
            total: Any = 0.0
            sides = (pairs.chosen, pairs.chosen_reference), (pairs.rejected, pairs.rejected_reference)
            for side, (now, before) in enumerate(sides):
                total = total + (now - before - (pairs.numbers[:, side] - 0.5) / self.beta) ** 2 / 2
            forward, reverse = divergences(pairs.tokens)
            held = self.forward_kl * forward + self.reverse_kl * reverse
            return total + sum(held.chunk(2))

        wins = [training.win_rates(pair) for pair in records]
        return training.pairs(replace(job, reference=job.start), records, loss, numbers=wins, known=known)


def divergences(tokens: training.Tokens) -> tuple[Any, Any]:
    """KL(ref || pi) and KL(pi || ref) of each completion in nats, from its tokens; finite for any log-ratios."""
    reference = tokens.before if tokens.known is None else tokens.known
    gap, step = tokens.now - reference, tokens.now - tokens.before
    weight, near = (reference - tokens.before).clamp(max=LIMIT).exp(), step.clamp(max=LIMIT)
    moved, low = near.exp(), gap - (step - near)  # moved is pi / pi_t, so w r, up to LIMIT; low is gap up to there
    forward = moved * (1 + step - near) - weight * (1 + gap)
    reverse = moved * (low - 1 + (gap**2 - low**2) / 2) + weight
    return forward.sum(-1), reverse.sum(-1)


def _scored(rollouts: Sequence[Rollout], context: Context) -> list[list[float]]:
    """The log-probabilities of the tokens of each completion under the weights of round 0."""
    return replace(context.policy, checkpoint=context.start).logprobs_of(rollouts)
