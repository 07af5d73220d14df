"""Raise the difficulty of the training problems when the model has mastered the current level, or every round.

Idea: easy to hard: a model labels problems well that are only slightly harder than those it has learned.
Survey: adaptive control, section 6; length curriculum, section 2.4.3.
Paper: arXiv:2502.01612 (Self-Improving Transformers), Lee et al., 2025.
Algorithm:
  1. With `min_score: null`, add `step` to the task's `level` after each round (the paper's schedule).
  2. Otherwise add it only if the mean score of the candidate's gate answers at the current level is at least
     `min_score`, or if no gate problem has that level.
  3. Stop raising at `max_level`.
Differs: the paper's accelerated schedule uses true accuracy on all levels; `min_score` uses it on one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Controller
from selfimprove.registry import register
from selfimprove.rounds import Round, Stop


@register("curriculum", paper="2502.01612")
@dataclass
class Curriculum(Controller):
    step: int = 1
    """How much the level rises."""
    min_score: float | None = None
    """Score at the current level that is required first; null raises the level every round."""
    max_level: int | None = None
    """Highest level; null means the task's longest problem."""

    def next(self, history: Sequence[Round], settings: dict[str, Any]) -> dict[str, Any] | Stop:
        [(name, task)] = settings["task"].items()
        if not isinstance(task.get("level"), int):
            raise RecipeError(f"controller curriculum needs a starting level: set task.{name}.level to a number")
        top = self.max_level or task.get("max_length") or task.get("max_level") or task["level"]
        if history and self._mastered(history[-1], task["level"]):
            return {f"task.{name}.level": max(task["level"], min(top, task["level"] + self.step))}
        return {}

    def _mastered(self, last: Round, level: int) -> bool:
        if self.min_score is None or last.candidate is None:
            return self.min_score is None
        at_level = [r.reward for r in last.candidate.rollouts if r.prompt.info.get("level") == level]
        known = [score for score in at_level if score is not None]
        return not known or sum(known) / len(known) >= self.min_score
