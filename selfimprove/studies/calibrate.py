"""Measure for at most a minute how fast a recipe draws and trains on this machine: `selfimprove check --calibrate`.

The start model is built or taken from the cache as in a run. It answers more and more training problems, by plain
samples that the recipe's rewards rate and by its refinements, until a call takes long enough to be timed. Then its
optimizations take a few steps on these samples, in a folder that is thrown away.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from selfimprove import training
from selfimprove.costs import Cost, counted
from selfimprove.errors import EngineError
from selfimprove.interfaces import Context, Log
from selfimprove.loop import begin, lineage, steps
from selfimprove.recipe.cost import Estimate
from selfimprove.recipe.legs import legs_of
from selfimprove.recipe.schema import Recipe
from selfimprove.records import Preference, Prompt, Record, Rollout
from selfimprove.report.pace import Part

LIMIT, BUILD = 60.0, 30.0
"""Seconds that a calibration takes at most, and of them those for a start model that is not in the cache."""
ENOUGH, FIRST = 3.0, 20.0
"""Seconds of a call of the engine that is long enough to be timed; and of the first one, which also loads."""
SAMPLES = 8
"""Completions of each problem."""
STEPS, PROBLEMS = 10, 256
"""Training steps at most, and problems that they draw from where they draw themselves."""


class Over(Exception):
    """The time is over."""


class Watch:
    """A log that ends the work when its time is over, and keeps the times of training steps."""

    def __init__(self, log: Log, end: float) -> None:
        self.log, self.end = log, end
        self.ticks: list[float] = []
        """When each training step was done."""

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """How far the work is.

        Raises:
            Over: no time is left.
        """
        if unit == "steps":
            self.ticks.append(monotonic())
        if monotonic() > self.end:
            raise Over
        self.log.progress(done, total, unit)

    def metric(self, name: str, value: float) -> None:
        """A number of a work that is thrown away."""

    def note(self, text: str) -> None:
        """A remark on it."""


def calibrate(name: str, overrides: Sequence[str], price: Estimate, log: Log) -> dict[str, Part]:
    """What a sample of each part of a run took here, in the form of `pace.taken`.

    Args:
        name: the path of a recipe or the name of a shipped one.
        price: its estimate; parts that it does not plan are left out.

    Raises:
        EngineError: the time did not suffice for a start model, or for a sample.
    """
    now = monotonic()
    with tempfile.TemporaryDirectory(prefix="selfimprove-") as scratch:
        run = Path(scratch) / "run"
        try:
            stored = begin.started(name, overrides, run, Watch(log, now + BUILD))
        except Over:
            raise EngineError(
                f"the start model of {name} is not in the cache, and {BUILD:.0f} s do not suffice to build it; "
                f"selfimprove run {name} keeps it there"
            ) from None
        watch, work = Watch(log, now + LIMIT), Path(scratch) / "work"
        work.mkdir()
        first, *_ = legs_of(stored.recipe)  # later ones meet weights that earlier ones have made
        given = steps.context(stored, 1, first.step("optimization"), work, watch)
        groups: list[list[Rollout]] = []

        def data(prompts: Sequence[Prompt]) -> None:
            scored = given.reward([one for group in given.policy.sample(prompts, SAMPLES) for one in group])
            groups[:] = [scored[i : i + SAMPLES] for i in range(0, len(scored), SAMPLES)]

        try:
            drawn, answered = _timed(data, given), _timed(given.policy.answer, given)
            made = {"data": drawn, "audit": drawn, "evaluation": answered, "exam": answered}
            if price.parts["training"].steps:
                made["training"] = _trained(stored.recipe, price.parts["training"].steps, groups, given)
        except Over:
            raise EngineError(
                f"{LIMIT:.0f} s do not suffice for a sample of {name} here: finish a round, and give its run to --like"
            ) from None
        finally:
            stored.recipe.the("engine").close()
    return made


def _timed(work: Callable[[Sequence[Prompt]], Any], given: Context) -> Part:
    """What the work took on as many training problems as make it long enough."""
    for power in itertools.count():
        n = 4 ** (power + 1)
        prompts, before = given.problems(n, 1), monotonic()
        with counted() as meter:
            work(prompts)
        took = monotonic() - before
        if took >= (ENOUGH if power else FIRST) or len(prompts) < n:
            return Part(meter.cost, took)
    raise AssertionError("a count has no end")


def _trained(recipe: Recipe, planned: int, groups: Sequence[Sequence[Rollout]], given: Context) -> Part:
    """What some training steps took, with their share of what every training takes beside its steps."""
    rows = _rows(recipe, groups, given)
    cost, took, each = _steps(recipe, STEPS, rows, given)
    beside = max(0.0, took - cost.steps * each)
    with suppress(Over):  # the first training has also paid for what is loaded once
        again, took, _ = _steps(recipe, 1, rows, given)
        beside = min(beside, max(0.0, took - again.steps * each))
    trainings = (recipe.rounds + recipe.null_round) * (1 + len(recipe.parts or ()))
    return Part(cost, cost.steps * (each + beside * trainings / planned))


def _steps(recipe: Recipe, n: int, rows: Sequence[Record], given: Context) -> tuple[Cost, float, float]:
    """What a training of n steps drew and did, the seconds that it took, and those of a step."""
    methods = {
        name: replace(method, max_steps=n) if isinstance(method, training.Trained) else method
        for name, method in recipe.optimization.items()
    }
    watch, before = _watch(given), monotonic()
    watch.ticks.clear()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder, counted() as meter, suppress(Over):
        training.in_turn(methods, rows, replace(given, folder=Path(folder)))
    took = monotonic() - before
    if not watch.ticks:
        raise Over
    each = median([later - one for one, later in itertools.pairwise(watch.ticks)] or [watch.ticks[0] - before])
    return meter.cost._replace(steps=max(meter.cost.steps, len(watch.ticks))), took, each


def _watch(given: Context) -> Watch:
    assert isinstance(given.log, Watch)
    return given.log


def _rows(recipe: Recipe, groups: Sequence[Sequence[Rollout]], given: Context) -> Sequence[Record]:
    """What there is to train on: problems, or what the recipe's selection makes of samples.

    Where it keeps nothing, every other sample counts as good.
    """
    kind = next(iter(recipe.optimization.values())).consumes
    if kind is Prompt:
        return given.problems(PROBLEMS, 1)
    selected = lineage.selected(recipe.selection, [one for group in groups for one in group], given)
    if selected and all(isinstance(one, kind) for one in selected):
        return selected
    if kind is Preference:
        return [Preference.of(*group[i : i + 2]) for group in groups for i in range(0, len(group) - 1, 2)]
    return [replace(one, reward=float(i % 2 == 0)) for group in groups for i, one in enumerate(group)]
