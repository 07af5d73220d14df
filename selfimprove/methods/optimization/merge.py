"""Interpolate between the trained weights and those they came from.

Idea: between two models with the same start, interpolation keeps most of the gain and removes much of the damage:
abilities beside the task come back.
Survey: direct optimization, section 4.2; it follows any method that trains: `optimization: [sft, merge]`.
Paper: arXiv:2109.01903 (WiSE-FT), Wortsman et al., 2021.
Algorithm:
  1. Take the weights that the previous method trained.
  2. The result is (1 - share) * `toward` + share * trained, for each weight; share 0 and 1 give exact copies.
Differs: the paper uses vision models fine-tuned once, and recommends share 0.5 by default; here it happens in each
  round. Not measured on a large model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint
from selfimprove.registry import register


@register("merge", paper="2109.01903")
@dataclass
class Merge(Optimization):
    consumes: ClassVar[Any] = Checkpoint
    share: float = bounded(0.5, 0, 1)
    """Share of the trained weights, from 0 to 1."""
    toward: str = "last"
    """The other weights: `last` (the newest policy) or `base` (the weights of round 0)."""

    def __post_init__(self) -> None:
        training.one_of(self, toward=("base", "last"))

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        old = context.start if self.toward == "base" else context.policy.checkpoint
        return training.blend(old, records[0], 1 - self.share, context.folder / "model")
