"""An exponential moving average of the weights over the rounds.

Idea: changes that the rounds have in common remain, chance effects of one round's samples average out.
Survey: direct optimization, section 4.2; it follows any method that trains: `optimization: [sft, ema]`.
Paper: arXiv:1703.01780 (Mean teachers), Tarvainen and Valpola, 2017.
Algorithm:
  1. Take the weights that the previous method trained in this round.
  2. The result is decay * last round's average + (1 - decay) * trained; in round 1 the average is the start.
  3. The average is the round's model, and continues in the next round whether or not the gate accepted it.
Differs: the paper averages over the steps of one training run with decay 0.99 to 0.999, and continues to train the
  plain weights. Here it averages over the few rounds, so 0.5 is our choice. A method with `restart: last` continues
  from the average, one with `restart: base` trains every round from the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import foreign, training
from selfimprove.bounds import bounded
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint
from selfimprove.registry import register


@register("ema", paper="1703.01780")
@dataclass
class Ema(Optimization):
    consumes: ClassVar[Any] = Checkpoint
    decay: float = bounded(0.5, 0, 1)
    """Weight of the previous average, from 0 to 1."""

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        average = context.start
        if context.previous is not None:
            noted = foreign.json_in(context.previous / "checkpoint.json")
            average = Checkpoint(path=str(context.previous / noted["path"]))
        return training.blend(average, records[0], self.decay, context.folder / "model")
