"""A training that was stopped at any step goes on to the very bytes and numbers of one that was left alone."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove import training
from selfimprove.interfaces import Context
from selfimprove.methods.sampler.rho_loss import RhoLoss
from selfimprove.records import Checkpoint, Preference, Prompt, Rollout
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import MANIFEST, seal
from selfimprove.store.training_checkpoints import Unfinished
from selfimprove.training.trl import resume

pytestmark = pytest.mark.runs

SCHEDULE = training.Schedule(
    learning_rate=1e-3,
    num_train_epochs=3.0,
    per_device_train_batch_size=2,
    gradient_accumulation_steps=2,
    warmup_steps=2,
    lr_scheduler_type="cosine",
    seed=3,
)
"""Fourteen rows of unlike lengths in three passes of four steps, the last one of each pass with two rows."""
Train = Callable[[Path, Any], Checkpoint]


class Stops:
    """A log that asks for an end, or has the process die, at the progress of some steps."""

    def __init__(self, *at: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.at, self.error = list(at), error
        self.metrics: dict[str, float] = {}
        self.notes: list[str] = []
        self.steps: list[int] = []

    def progress(self, done: int, total: int, unit: str = "") -> None:
        self.steps.append(done)
        if done in self.at:
            self.at.remove(done)
            raise self.error("stop")

    def metric(self, name: str, value: float) -> None:
        self.metrics[name] = value

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def many() -> list[Rollout]:
    """Fourteen completions of different lengths."""
    words = [f"{'so ' * (i % 5)}what is {i} + {i % 3}?" for i in range(14)]
    return [
        Rollout(
            prompt=Prompt(prompt=[{"role": "user", "content": asked}], key=asked),
            completion=[{"role": "assistant", "content": f"{'well, ' * (i % 4)}it is {i + i % 3}"}],
            weight=1.0 + i % 2,
        )
        for i, asked in enumerate(words)
    ]


@pytest.fixture
def trains(start: Checkpoint, many: list[Rollout], make_context: Callable[..., Context]) -> dict[str, Train]:
    """Trainings by name."""
    pairs = [
        Preference(prompt=one.prompt, chosen=one.completion, rejected=other.completion)
        for one, other in zip(many, [*many[1:], many[0]], strict=True)
    ]
    lora = replace(SCHEDULE, lora=training.Lora(r=2, dropout=0.3))

    def sft(folder: Path, log: Any) -> Checkpoint:
        return training.sft(training.Job(start, folder, SCHEDULE, log), many)

    def weighted(folder: Path, log: Any) -> Checkpoint:
        return training.sft(training.Job(start, folder, lora, log), many, weights=[one.weight for one in many])

    def dpo(folder: Path, log: Any) -> Checkpoint:
        return training.dpo(
            training.Job(start, folder, SCHEDULE, log, start), pairs, loss_type=["sigmoid"], loss_weights=None, beta=0.1
        )

    def kto(folder: Path, log: Any) -> Checkpoint:
        good = [bool(i % 2) for i in range(len(many))]
        return training.kto(training.Job(start, folder, SCHEDULE, log, start), many, good)

    def longer(folder: Path, log: Any) -> Checkpoint:
        schedule = replace(SCHEDULE, num_train_epochs=6.0)

        def loss(batch: training.Pairs) -> Any:
            return (batch.rejected - batch.chosen).sigmoid()

        return training.pairs(training.Job(start, folder, schedule, log), pairs, loss)

    def steered(folder: Path, log: Any) -> Checkpoint:
        sampler = RhoLoss(candidates=6, irreducible=False)
        guide = training.steered_rows(many, make_context(sampler=sampler, log=log))
        return training.sft(training.Job(start, folder, SCHEDULE, log), many, steered=guide)

    return {"steered": steered, "sft": sft, "weighted lora": weighted, "dpo": dpo, "kto": kto, "24 steps": longer}


@pytest.fixture
def shelf(tmp_path: Path) -> Callable[..., Unfinished]:
    """`shelf("bound")`: where a step keeps its checkpoints."""
    (tmp_path / "run" / "round_001").mkdir(parents=True)
    return lambda bound="b", say=print: Unfinished(RunDir(tmp_path / "run"), 1, "optimization", bound, say)


def outcome(made: Checkpoint, log: Stops) -> tuple[str, dict[str, float]]:
    return hashlib.sha256((Path(made.path) / "model.safetensors").read_bytes()).hexdigest(), log.metrics


def stopped(train: Train, shelf: Any, folder: Path, *at: int, **options: Any) -> Stops:
    """A training that is stopped there."""
    log = Stops(*at, **options)
    with pytest.raises(log.error, match="stop"), training.resumable(shelf):
        train(folder, log)
    return log


@pytest.mark.parametrize(
    ("name", "stops"),
    [
        ("sft", (1, 6)),  # after the first step, and in the middle of the second pass
        pytest.param("sft", (4, 5, 8), marks=pytest.mark.runs),  # at the ends of passes
        ("dpo", (3,)),
        ("steered", (2, 7)),
        pytest.param("dpo", (1, 9, 10), marks=pytest.mark.runs),
        pytest.param("weighted lora", (5,), marks=pytest.mark.runs),
        pytest.param("kto", (7,), marks=pytest.mark.runs),
        pytest.param("24 steps", (13, 22), marks=pytest.mark.runs),  # between entries of the log
    ],
)
def test_it_ends_with_the_bytes_of_one_that_was_left_alone(
    name: str, stops: Sequence[int], trains: dict[str, Train], shelf: Callable, tmp_path: Path
) -> None:
    whole = Stops()
    wanted = outcome(trains[name](tmp_path / "whole", whole), whole)
    for place, at in enumerate(stops):
        log = stopped(trains[name], shelf(), tmp_path / "cut", at)
        assert log.steps[-1] == at and log.steps[0] == (stops[place - 1] + 1 if place else 1)
        assert len(list(shelf().folder.iterdir())) == 1, "only the newest is kept"
    log = Stops()
    with training.resumable(shelf()):
        found = outcome(trains[name](tmp_path / "cut", log), log)
    assert log.steps == list(range(stops[-1] + 1, len(whole.steps) + 1)) and found == wanted
    assert log.notes == [f"training continues after step {stops[-1]} of {len(whole.steps)}"]


@pytest.mark.runs
def test_a_stop_at_the_last_step_keeps_what_was_trained(
    trains: dict[str, Train], shelf: Callable, tmp_path: Path
) -> None:
    whole, log = Stops(), Stops()
    wanted = outcome(trains["sft"](tmp_path / "whole", whole), whole)
    stopped(trains["sft"], shelf(), tmp_path / "cut", 12)
    with training.resumable(shelf()):
        assert outcome(trains["sft"](tmp_path / "cut", log), log) == wanted and log.steps == []


@pytest.mark.parametrize(
    "stop",
    [
        (4, "in the look"),
        *(pytest.param(one, marks=pytest.mark.runs) for one in ((3, "between"), (4, "before the look"))),
    ],
)
def test_the_best_weights_so_far_survive_and_a_look_that_was_cut_off_is_taken_again(
    stop: tuple[int, str], start: Checkpoint, many: list[Rollout], shelf: Callable, tmp_path: Path
) -> None:
    scores, seen = {2: 0.9, 4: 0.85, 6: 0.88, 8: 0.1}, list[int]()

    def train(folder: Path, log: Stops, cut: bool = False) -> Checkpoint:
        def measure(step: int, model: Any) -> float:
            if cut and step == stop[0]:
                raise KeyboardInterrupt("stop")
            random.random()  # a look leaves the training's generators as they are
            seen.append(step)
            return scores[step]

        return training.sft(training.Job(start, folder, SCHEDULE, log), many, training.Peak(measure, 100), 2)

    whole, log = Stops(), Stops()
    wanted = outcome(train(tmp_path / "whole", whole), whole)
    assert seen == [2, 4, 6, 8] and whole.metrics["train/peak_step"] == 2 and whole.metrics["train/steps"] == 8
    seen.clear()
    cut = stop[1] == "in the look"
    stopped(lambda folder, log: train(folder, log, cut), shelf(), tmp_path / "cut", *([] if cut else [stop[0]]))
    with training.resumable(shelf()):
        assert outcome(train(tmp_path / "cut", log), log) == wanted
    assert seen == [2, 4, 6, 8]


@pytest.mark.runs
def test_a_training_that_dies_goes_on_from_the_last_of_its_checkpoints_in_time(
    trains: dict[str, Train], shelf: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(trains["sft"], shelf(), tmp_path / "cut", 5, error=RuntimeError)
    assert not shelf().folder.exists(), "a short training writes nothing"
    monkeypatch.setattr(resume, "EVERY", 0.0)
    monkeypatch.setattr(resume, "SHARE", 1e9)
    stopped(trains["sft"], shelf(), tmp_path / "cut", 5, error=RuntimeError)
    assert [path.name for path in shelf().folder.iterdir()] == ["00-00000004"]
    monkeypatch.undo()
    whole, log = Stops(), Stops()
    wanted = outcome(trains["sft"](tmp_path / "whole", whole), whole)
    with training.resumable(shelf()):
        assert outcome(trains["sft"](tmp_path / "cut", log), log) == wanted and log.steps[0] == 5


@pytest.mark.runs
def test_of_two_trainings_in_a_step_each_has_its_own_checkpoint(
    trains: dict[str, Train], shelf: Callable, tmp_path: Path
) -> None:
    def both(folder: Path, log: Stops) -> Checkpoint:
        trains["dpo"](folder / "first", Stops())
        return trains["sft"](folder / "second", log)

    whole, log = Stops(), Stops()
    wanted = outcome(both(tmp_path / "whole", whole), whole)
    stopped(both, shelf(), tmp_path / "cut", 6)
    assert [path.name for path in shelf().folder.iterdir()] == ["01-00000006"]
    with training.resumable(shelf()):
        assert outcome(both(tmp_path / "cut", log), log) == wanted and log.steps[0] == 7


def sealed_anew(folder: Path, file: str, change: Callable[[Any], Any]) -> None:
    """As a stranger would: another content, with the checksums that fit it."""
    (folder / file).write_text(json.dumps(change(json.loads((folder / file).read_text()))))
    (folder / MANIFEST).unlink()
    seal(folder, {"bound": "b"})


CHANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "it cannot be read": ("trainer_state.json", lambda state: {"harm": 1}),
    "it cannot be read (": ("training.json", lambda noted: {**noted, "now": {"python": [], "numpy": []}}),
    "it lacks now": ("training.json", lambda noted: {name: noted[name] for name in noted if name != "now"}),
    "it belongs to training on other rows": ("training.json", lambda noted: {**noted, "rows": "0"}),
}


def test_a_checkpoint_that_is_none_of_this_training_is_thrown_away_with_a_note(
    trains: dict[str, Train], shelf: Callable, tmp_path: Path
) -> None:
    said = list[str]()
    stopped(trains["sft"], shelf(), tmp_path / "cut", 1)
    kept = shelf().folder / "00-00000001"
    whole = shutil.copytree(kept, tmp_path / "kept")
    for reason, (file, change) in CHANGES.items():
        shutil.rmtree(kept)
        shutil.copytree(whole, kept)
        sealed_anew(kept, file, change)
        log = stopped(trains["sft"], shelf(say=said.append), tmp_path / "cut", 1)
        assert log.steps == [1] and reason in said[-1] and "starts over" in said[-1]
    assert len(said) == len(CHANGES)


@pytest.mark.runs
def test_without_room_for_a_checkpoint_the_training_goes_on(
    trains: dict[str, Train], shelf: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "EVERY", 0.0)
    monkeypatch.setattr(resume, "SHARE", 1e9)
    monkeypatch.setenv("SELFIMPROVE_FAILPOINT", "keep.rename:1:enospc+")
    log = Stops()
    with training.resumable(shelf()):
        trains["sft"](tmp_path / "full", log)
    assert log.steps[-1] == 12 and all("could not be saved" in note for note in log.notes) and len(log.notes) == 11
    assert [path.name for path in shelf().folder.glob("[!.]*")] == ["00-00000000"]


def test_nothing_is_kept_outside_of_a_run_or_in_several_processes(
    trains: dict[str, Train], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Stops(2)
    with pytest.raises(KeyboardInterrupt):
        trains["sft"](tmp_path / "cut", log)
    assert log.steps == [1, 2] and not training.saves_soon()
