"""A calibration draws and trains a little, within its time, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from selfimprove import registry, training
from selfimprove.costs import Cost, count
from selfimprove.errors import EngineError
from selfimprove.interfaces import Context, Optimization
from selfimprove.logs import Silent
from selfimprove.recipe import compose
from selfimprove.recipe.cost import Estimate, estimate
from selfimprove.records import Checkpoint, Preference, Prompt, Rollout
from selfimprove.studies import calibrate as study
from selfimprove.studies.calibrate import Over, Watch, _rows, calibrate


@pytest.fixture
def small(make_run: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The recipe of `make_run`, with an optimization whose steps take nothing."""
    make_run()
    monkeypatch.setattr(study, "ENOUGH", 0.0)

    @registry.register("drill")
    @dataclass
    class Drill(training.Trained, Optimization):
        consumes: ClassVar[Any] = Rollout

        def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
            for done in range(self.max_steps):
                context.log.progress(done + 1, self.max_steps, "steps")
            count(Cost(steps=self.max_steps))
            return context.policy.checkpoint

    return str(tmp_path / "small.yaml")


def price(name: str, *overrides: str) -> Estimate:
    return estimate(compose.load(name, overrides)[0])


@pytest.mark.long
def test_a_sample_of_each_part_is_timed(small: str) -> None:
    overrides = ["optimization=drill", "optimization.drill.max_steps=300", "selection=[]"]
    made = calibrate(small, overrides, price(small, *overrides), Silent())
    assert made["data"].cost == made["audit"].cost == Cost(completions=16 * 8, tokens=16 * 8)
    assert made["evaluation"].cost == made["exam"].cost == Cost(completions=16, tokens=16)
    assert made["training"].cost == Cost(steps=10) and 0 < made["training"].seconds < 5
    assert "training" not in calibrate(small, [], price(small), Silent())  # `practice` declares no steps


@pytest.mark.long
def test_parts_that_learn_in_legs_of_their_own_are_measured_on_the_start(small: str) -> None:
    overrides = ["parts=[propose]", "legs=[propose.propose,solve.seed_prompts,solve.rejection_sampling]"]
    overrides += ["acquisition=[propose,seed_prompts,rejection_sampling]", "optimization=drill", "selection=[]"]
    made = calibrate(small, overrides, price(small, *overrides), Silent())
    assert made["data"].cost.completions == 16 * 8 and made["training"].cost.steps == 10


@pytest.mark.long
def test_time_that_does_not_suffice_ends_with_one_line(small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "LIMIT", -1.0)
    with pytest.raises(EngineError, match="do not suffice for a sample of .*: finish a round, and give its run to --l"):
        calibrate(small, ["engine=fake"], price(small), Silent())

    def slow(*_: Any) -> Any:
        raise Over

    monkeypatch.setattr("selfimprove.loop.begin.started", slow)
    with pytest.raises(EngineError, match="is not in the cache, and 30 s do not suffice to build it; selfimprove run"):
        calibrate(small, [], price(small), Silent())


def test_a_watch_ends_the_work_and_keeps_the_times_of_steps() -> None:
    watch = Watch(Silent(), float("inf"))
    watch.progress(1, 2, "samples")
    watch.progress(1, 2, "steps")
    assert len(watch.ticks) == 1
    with pytest.raises(Over):
        Watch(Silent(), 0.0).progress(1, 2)


@pytest.mark.long
def test_rows_are_what_the_selection_keeps_or_else_of_the_kind_that_is_trained_on(
    make_rollout: Callable, make_context: Callable
) -> None:
    groups, given = [[make_rollout(text, reward=float(text == "c")) for text in "abcde"]], make_context()
    recipe, _ = compose.load("quickstart", ["selection=threshold"])
    [kept] = _rows(recipe, groups, given)
    assert isinstance(kept, Rollout) and kept.text == "c"
    lost = [[make_rollout(text, reward=0.0) for text in "abcde"]]
    assert [one.reward for one in _rows(recipe, lost, given) if isinstance(one, Rollout)] == [1.0, 0.0, 1.0, 0.0, 1.0]
    pairs = _rows(compose.load("iterative_dpo")[0], lost, given)
    told = [(one.chosen[-1]["content"], one.rejected[-1]["content"]) for one in pairs if isinstance(one, Preference)]
    assert told == [("a", "b"), ("c", "d")]
    assert all(isinstance(one, Prompt) for one in _rows(compose.load("dr_grpo")[0], lost, given))
