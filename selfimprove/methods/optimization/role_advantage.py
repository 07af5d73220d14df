"""Policy gradient on rewarded moves, each against what its side of the game wins on average.

Idea: in a game the sides do not have equal chances. A common baseline would praise every move of the better seat; one
  for each role compares a move with what that seat is worth.
Survey: reinforcement learning, section 4.3; games, section 2.3.
Paper: arXiv:2506.24119 (SPIRAL: role-conditioned advantage estimation), Liu et al., 2025.
Algorithm:
  1. Go through the records in their order. The advantage of one is its reward minus its role's baseline b, which then
     becomes decay * b + (1 - decay) * reward. It begins at 0.
  2. The baselines are kept in the step's folder, and the next round goes on with them.
  3. Clipped policy gradient on the records' tokens with these advantages, as in trr_plus_plus without normalization.
Differs: the paper takes a fresh batch of games for each step, and REINFORCE; here training passes over a round's games
  `num_train_epochs` times, and the clipped ratio limits later steps. Every move of a game has the game's payoff, and
  the baseline is updated once for each move, not for each game.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import foreign, training
from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Rollout, changed
from selfimprove.registry import register
from selfimprove.training import Draws, Live, Turn

BASELINES = "baselines.json"


@register("role_advantage", paper="2506.24119")
@dataclass
class RoleAdvantage(training.Clipped, Optimization):
    consumes: ClassVar[Any] = Rollout
    decay: float = bounded(0.95, 0, 1)
    """How much of a baseline is kept at each record."""

    def cost(self, given: Given) -> Cost:
        steps = training.planned_steps(self, given.flow.records)
        return Cost(steps=steps if self.max_steps > 0 else steps * self.num_iterations)

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        before = context.previous / BASELINES if context.previous else None
        baselines = foreign.json_in(before) if before and before.exists() else {}
        rows = advantages(records, baselines, self.decay)
        for role, baseline in sorted(baselines.items()):
            context.log.metric(f"train/{role}/baseline", baseline)
        (context.folder / BASELINES).write_text(json.dumps(baselines, sort_keys=True), encoding="utf-8")

        def play(live: Live) -> Iterator[Sequence[Turn]]:
            return training.passes(live.noted(live.turns(rows)), live.rows_per_step, context.seed)

        def gains(draws: Draws) -> Any:
            return training.to_go(draws.rewards)

        return training.reinforce(training.job_of(self, context), len(rows), self, play, gains)


def advantages(records: Sequence[Rollout], baselines: dict[str, float], decay: float) -> list[Rollout]:
    """The records with their advantages as rewards; the baselines move on in place. One without a reward keeps none."""
    made = list[Rollout]()
    for record in records:
        if record.reward is None:
            made.append(record)
            continue
        baseline = baselines.get(record.role, 0.0)
        made.append(changed(record, reward=record.reward - baseline))
        baselines[record.role] = decay * baseline + (1 - decay) * record.reward
    return made
