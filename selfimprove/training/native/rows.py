"""Policy gradient on completions that are given with their advantages, for copies of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selfimprove.records import Checkpoint, Rollout
from selfimprove.training.job import Job
from selfimprove.training.native.loop import Live
from selfimprove.training.native.policy_gradient import Clipped, reinforce, to_go
from selfimprove.training.native.turns import Turn, passes
from selfimprove.training.options import PolicyGradient


def gradient_on_rows(job: Job, plan: PolicyGradient, rows: Sequence[Rollout]) -> Checkpoint:
    """Clipped policy gradient on rows that the job's start has drawn; saves to `job.folder`.

    Each step takes the next rows of a pass in random order. Ratios are to the probabilities under the start, so the
    first step is that of REINFORCE, and later ones are clipped as in GRPO with several updates on a draw.

    Args:
        rows: completions; the reward of each is the advantage of all of its tokens.

    Raises:
        DataError: there are no rows, or the loss is not a number.
    """
    method = Clipped(
        learning_rate=plan.learning_rate,
        max_steps=plan.max_steps,
        per_device_train_batch_size=plan.per_device_train_batch_size,
        gradient_accumulation_steps=plan.gradient_accumulation_steps,
        temperature=plan.temperature,
        epsilon=plan.epsilon,
    )

    def play(live: Live) -> Iterator[Sequence[Turn]]:
        return passes(live.noted(live.turns(rows)), live.rows_per_step, plan.seed)

    return reinforce(job, len(rows), method, play, lambda draws: to_go(draws.rewards))
