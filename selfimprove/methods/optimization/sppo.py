"""Self-play preference optimization: change each completion's likelihood by its win rate against the model's own.

Idea: approach the equilibrium of a two-player game; a completion that wins half of its games stays as likely as it is.
Survey: preference optimization, section 4.3; self-play.
Paper: arXiv:2405.00675 (SPPO), Wu et al., 2024.
Algorithm:
  1. P(y) is the probability that completion y beats one of the model's own: `info["p_chosen"]` and
     `info["p_rejected"]` of a pair, which the selection `sppo_pairs` writes; with `hard` they are 1 and 0.
  2. The loss is half of the sum over both completions of (log pi - log ref - (P - 1/2) / beta) squared.
  3. Start from the last policy, or with `restart: base` from round 0; the reference likewise.
Differs: the paper's RMSprop is AdamW here. beta 1e-3 and learning rate 5e-7 are those of its code. TRL's sppo_hard,
  which `dpo` can name, is twice this loss at `hard`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Preference
from selfimprove.registry import register


@register("sppo", paper="2405.00675")
@dataclass
class Sppo(training.Adapted, training.Referenced, Optimization):
    consumes: ClassVar[Any] = Preference
    beta: float = bounded(1e-3, above=0)
    """One over the step of the game: small values aim far from the reference."""
    hard: bool = False
    """Assume that the chosen completion always wins and the rejected one never, ignoring the pair's win rates."""
    learning_rate: float = bounded(5e-7, 0, 100)

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        wins = [(1.0, 0.0) if self.hard else training.win_rates(pair) for pair in records]

        def loss(pairs: training.Pairs) -> Any:
            up = pairs.chosen - pairs.chosen_reference - (pairs.numbers[:, 0] - 0.5) / self.beta
            down = pairs.rejected - pairs.rejected_reference - (pairs.numbers[:, 1] - 0.5) / self.beta
            return (up**2 + down**2) / 2

        return training.pairs(training.job_of(self, context), records, loss, numbers=wins)
