"""Keep the best weights of a training run, by accuracy on problems."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from selfimprove.costs import NOTHING, Cost, counted

Check = Callable[[int, Any], bool]
"""(step, model) -> True to stop training there."""


class Peak:
    """Keeps the best weights of a training run by accuracy on problems, and ends training after a sharp drop.

    Accuracy can rise and collapse within a few steps, and penalties on the distance from the start do not prevent it
    (arXiv:2606.21090). So measure during training, stop if accuracy falls by `drop` or by `errors` standard errors
    below the peak, whichever is more, and restore the weights of the peak.
    """

    def __init__(self, measure: Callable[[int, Any], float], n: int, drop: float = 0.05, errors: float = 3.0) -> None:
        self.measure, self.n, self.drop, self.errors = measure, n, drop, errors
        self.step, self.best = -1, -1.0
        self._weights: dict[str, Any] = {}
        self._seen = -1
        self.cost = NOTHING
        """The cost of all evaluations so far."""

    def __call__(self, step: int, model: Any) -> bool:
        """Evaluate; True after a sharp drop. The later of two equal scores is the peak."""
        with counted() as meter:  # resumed training has earlier evaluations
            score, self._seen = self.measure(step, model), step
        self.cost += meter.cost
        if score >= self.best:
            self.step, self.best = step, score
            self._weights = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
        error = math.sqrt(max(0.0, self.best * (1 - self.best)) / self.n)
        return score < self.best - max(self.drop, self.errors * error)

    def restore(self, step: int, model: Any) -> None:
        """Evaluate the last step too, then restore the weights of the peak."""
        if step != self._seen:
            self(step, model)
        model.load_state_dict(self._weights)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The state as numbers and weights, for a training checkpoint."""
        seen = {"step": self.step, "best": self.best, "seen": self._seen, "cost": list(self.cost)}
        return seen, self._weights

    def take(self, seen: Mapping[str, Any], weights: dict[str, Any]) -> None:
        """Continue from the result of `state`."""
        self.step, self.best, self._seen, self._weights = seen["step"], seen["best"], seen["seen"], weights
        self.cost = Cost(*seen.get("cost", ()))
