"""Reinforcement learning of a second attempt that corrects the first: two stages and a bonus for improvement.

Idea: if both attempts get the same reward, a model answers as well as it can at once and then changes nothing. So first
train the second attempt while a KL term holds the first, then reward progress from one to the other.
Survey: reinforcement learning, section 4.3; self-correction, section 2.4.2.
Paper: arXiv:2409.12917 (SCoRe), Kumar et al., 2024.
Algorithm:
  1. Draw an answer y1 to each of `num_generations` copies of a problem, then y2 in the role `refine`, which shows y1;
     both with the weights in training. r1 and r2 are their rewards.
  2. Stage I, a share `first_stage` of the steps: both attempts get r2; the loss adds `beta_first` times the KL
     divergence of the first attempt from the reference.
  3. Stage II: y2 gets r2 + alpha (r2 - r1), y1 gets r1; the loss adds `beta` times the KL divergence of both attempts.
     With `discount` y1 also gets that share of y2's credit. If right answers stay right with probability p11 and wrong
     ones become right with p01, a right y1 then gets 1 + discount ((1 + alpha) (p11 - p01) - alpha) more than a wrong
     one, which is negative for discount 1, alpha 10 and p11 - p01 < 0.81: it trains wrong first answers.
  4. The advantage is this credit minus its mean over the other copies of the problem (REINFORCE, leave-one-out).
Differs: alpha 10, beta_first 0.1, beta 0.01 and learning rate 5e-6 are from a re-implementation that cites the paper's
  appendix, with 1500 steps per stage and batches of 512; here both stages are steps of each round. We do not know the
  paper's baseline. The divergence is the estimate k3 in the loss. The reviser sees the first attempt in the prompt of
  its role, not in a conversation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Prompt
from selfimprove.registry import register
from selfimprove.training import Draws, Live, Turn

NAMES = ("first", "second")


@register("score", paper="2409.12917")
@dataclass
class Score(training.Clipped, Optimization):
    consumes: ClassVar[Any] = Prompt
    first_stage: float = bounded(0.5, 0, 1)
    """Share of the steps in stage I."""
    alpha: float = 10.0
    """Weight of the gain over the first attempt in stage II."""
    discount: float = bounded(0.0, 0, 1)
    """Share of the second attempt's credit that is added to the first one's in stage II, from 0 to 1. Above 0 the first
    attempt may be paid for being wrong."""
    beta_first: float = 0.1
    """Weight of the first attempt's KL divergence from the reference in stage I."""
    beta: float = 0.01
    """Weight of the KL divergence of both attempts in stage II."""
    num_generations: int = bounded(4, 2)
    learning_rate: float = bounded(5e-6, 0, 100)

    def cost(self, given: Given) -> Cost:
        return training.online_cost(self, given, again=self.num_iterations, turns=2, marks=2)

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        def play(live: Live) -> Iterator[Sequence[Turn]]:
            each = self.num_generations
            for problems in live.copies(records, each):
                first = training.rewarded(live.draw(problems), problems, context)
                shown = [context.roles.refine(one.rollout.prompt, one.rollout.text) for one in first]
                asked = [replace(problem, prompt=words) for problem, words in zip(problems, shown, strict=True)]
                second = training.rewarded(live.draw(asked), problems, context)
                early = live.done < round(self.first_stage * live.steps)
                credits = [self.credit(a.reward, b.reward, early) for a, b in zip(first, second, strict=True)]
                leads = [training.lead(column, each) for column in zip(*credits, strict=True)]
                anchors = (self.beta_first, 0.0) if early else (self.beta, self.beta)
                yield [
                    replace(turn, reward=gain, bucket=name, anchor=anchor)
                    for name, turns, gains, anchor in zip(NAMES, (first, second), leads, anchors, strict=True)
                    for turn, gain in zip(turns, gains, strict=True)
                ]

        def advantages(draws: Draws) -> Any:
            return training.to_go(draws.rewards)

        return training.reinforce(
            training.job_of(self, context), len(records) * self.num_generations, self, play, advantages, beta=1.0
        )

    def credit(self, r1: float | None, r2: float | None, early: bool) -> tuple[float | None, float | None]:
        """The credits of the first and the second attempt for rewards r1 and r2; None if a reward is unknown."""
        if r1 is None or r2 is None:
            return None, None
        second = r2 if early else r2 + self.alpha * (r2 - r1)
        return (r2 if early else r1 + self.discount * second), second
