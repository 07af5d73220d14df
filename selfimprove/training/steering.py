"""A sampler at work in one training: it is asked for each step, told what came of it, and its state can be kept."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from selfimprove.errors import DataError
from selfimprove.interfaces import Context, Sampler, SamplerPool, Weights
from selfimprove.needs import called
from selfimprove.records import Prompt, Rollout, digest
from selfimprove.training.generators import unmoved


class Steered:
    """The sampler of a recipe with the problems, or the rows, of one training."""

    def __init__(
        self,
        sampler: Sampler,
        context: Context,
        problems: Sequence[Prompt],
        rows: Sequence[Rollout] = (),
    ) -> None:
        self.sampler, self.context = sampler, context
        self.pool = SamplerPool(problems=problems, rows=rows)
        self._before: dict[str, Any] = {}
        self._draws = 0
        self._chosen: set[int] = set()
        self._idle = 0
        with unmoved():
            sampler.begin(self.pool, context.held(sampler))

    def asks(self, weights: Weights) -> None:
        """Let a sampler of rows ask the weights in training."""
        self.pool.weights = weights

    @property
    def again(self) -> int:
        """How many times at most a step draws again."""
        return self.sampler.again()

    def step(self, k: int, again: int | None = None) -> list[int]:
        """The places of k problems or rows for the next step.

        Args:
            again: how many times the caller can draw again; None: as often as the sampler wants.

        Raises:
            DataError: the sampler cannot be used on these problems, or chose others than there are.
        """
        if self._draws:  # else it is the first one, or one that was chosen before a stop and is chosen once more
            self.pool.step += 1
        self._before, self._draws = deepcopy(self.pool.state), 0
        self.pool.left = self.again if again is None else again
        return self._next(k)

    def more(self, k: int) -> list[int]:
        """The places of k problems in place of groups that did not count."""
        self.pool.left -= 1
        return self._next(k)

    def seen(self, places: Sequence[int], groups: Sequence[Sequence[float | None]]) -> list[bool]:
        """Which of these groups of rewards count; the sampler learns from all of them."""
        counted = self.sampler.seen(places, groups, self.pool)
        if not self.pool.left:
            self._idle += counted.count(False)
        return counted

    def report(self) -> None:
        """Log how many different problems were chosen, and how many groups were left out of the loss."""
        log = self.context.log
        log.metric("train/chosen", len(self._chosen))
        log.metric("train/left_out_groups", self._idle)

    # ---- kept with the training ----------------------------------------------------------------------------------
    def kept(self) -> dict[str, Any]:
        """What a training needs to choose the current step once more, as JSON."""
        return {"step": self.pool.step, "state": self._before, "chosen": sorted(self._chosen), "idle": self._idle}

    def put_back(self, kept: dict[str, Any], trial: bool = False) -> None:
        """Go on with the step that `kept` was asked in; or only check that this works.

        Raises:
            KeyError, TypeError, ValueError: this is not what `kept` gave.
        """
        step, state, chosen, idle = kept["step"], kept["state"], kept["chosen"], kept["idle"]
        if not (isinstance(state, dict) and isinstance(step, int) and isinstance(idle, int)):
            raise ValueError("what is noted of its sampler")
        known = set(map(int, chosen))
        if not trial:
            self.pool.step, self.pool.state, self._idle = step, json.loads(json.dumps(state)), idle
            self._chosen, self._draws = known, 0

    def _next(self, k: int) -> list[int]:
        pool = self.pool
        pool.random = random.Random(digest([self.context.seed, "sampler", pool.step, self._draws]))
        self._draws += 1
        places = list(self.sampler.next(k, pool))
        if len(places) != k or not all(0 <= place < len(pool.problems) for place in places):
            raise DataError(
                f"{called(self.sampler)} was asked for {k} of {len(pool.problems)} problems and gave "
                f"{len(places)}, up to place {max(places, default=-1)}"
            )
        self._chosen.update(places)
        return places


def steered(problems: Sequence[Prompt], context: Context) -> Steered | None:
    """The recipe's sampler for a training that draws completions of these problems; None: the recipe names none."""
    return None if context.sampler is None else Steered(context.sampler, context, problems)


def steered_rows(rows: Sequence[Any], context: Context) -> Steered | None:
    """The same for a training on given completions.

    Raises:
        DataError: they are documents.
    """
    if context.sampler is None:
        return None
    said = [row for row in rows if isinstance(row, Rollout)]
    if len(said) < len(rows):
        raise DataError(f"{called(context.sampler)} chooses completions, and these records are documents")
    return Steered(context.sampler, context, [row.prompt for row in said], said)
