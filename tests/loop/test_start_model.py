"""A model that was built once is taken from the cache, whole and with its numbers; without a cache a run goes on."""

from __future__ import annotations

import functools
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from selfimprove.errors import EngineError
from selfimprove.inference import memory
from selfimprove.inference.memory import Plan, Room
from selfimprove.logs import MetricLog
from selfimprove.loop import start_model
from selfimprove.loop.history import Stored
from selfimprove.methods.model.tiny import Tiny
from selfimprove.recipe import compose
from selfimprove.records import Checkpoint
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import intact, write_json, write_text


@pytest.fixture
def shelves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache keeps models; the bootstrap itself takes no time and counts its calls."""
    monkeypatch.setenv("SELFIMPROVE_CACHE", str(tmp_path / "cache"))

    def build(self: Tiny, task: Any, engine: Any, folder: Path, seed: int, log: Any) -> Checkpoint:
        (folder / "model").mkdir()
        (folder / "model" / "weights").write_text(f"of seed {seed}")
        log.metric("bootstrap/accuracy", 0.5)
        return Checkpoint(path=str(folder / "model"))

    monkeypatch.setattr(Tiny, "build", build)
    return tmp_path / "cache" / "models"


def started(root: Path, log: Any, *changes: str) -> tuple[Path, dict[str, float]]:
    """The model folder of a new run, and its numbers."""
    run = RunDir.create(root)
    _, settings = compose.load("quickstart", changes)
    write_text(run.root / "recipe.yaml", compose.runnable(settings))
    write_json(run.root / "environment.json", {"settings": settings})
    folder, kept = run.begin(0, "model"), MetricLog(log)
    start_model.build(Stored(run), folder, kept)
    return folder, kept.metrics


def planned(*overrides: str) -> Plan:
    return start_model.plan(compose.load("quickstart", overrides)[0])


@pytest.mark.runs
def test_what_a_recipe_does_with_the_weights_is_read_from_it(tmp_path: Path) -> None:
    whole = functools.partial(Plan, tokens=512)
    sft, lora = "optimization.sft", "optimization.sft.lora.r=8"
    assert planned() == whole(trainer=sft)
    assert planned(lora) == whole(trainer=sft, way="adapter")
    assert planned(lora, "optimization.sft.lora.load_in_4bit=true") == whole(trainer=sft, way="4bit")
    assert planned("optimization.sft.lora.load_in_4bit=true").way == "weights", "without a rank there is no adapter"
    assert planned("optimization=[sft,merge]") == whole(trainer=sft)
    assert planned("rounds=0") == whole()
    assert planned("engine=vllm", "engine.vllm.tensor_parallel_size=8") == whole(trainer=sft, sharing=8)
    assert planned("acquisition=seed_prompts", "selection=[]", "optimization=ppo") == whole(
        trainer="optimization.ppo", adapts=False, reference=True
    )
    several = ["launcher=accelerate", "launcher.accelerate.processes=4"]
    assert planned(*several) == whole(trainer=sft), "each process holds all of it"
    assert planned(*several, "optimization.sft.fsdp_config=f.json") == whole(trainer=sft, spread=4)
    assert planned("launcher=ray").elsewhere


@pytest.mark.long
@pytest.mark.parametrize(("room", "said"), [(1, "loading takes"), (10, "training all of them"), (99, "")])
def test_weights_that_do_not_fit_are_refused_before_they_are_loaded(
    tmp_path: Path, small_llama: ModuleType, quiet_log: Any, monkeypatch: pytest.MonkeyPatch, room: int, said: str
) -> None:
    """Room is in bytes for each weight: stored in float32, five are enough to load them, 24 to train them."""
    folder = small_llama.build(tmp_path / "llama", template=True)
    need = memory.need(folder)
    room = round(room * need.weights + 512 * need.kept + 8 * need.vocabulary)  # a completion and its logits
    room += 0 if said else 4 * memory.LOGITS * need.vocabulary
    monkeypatch.setattr("selfimprove.inference.memory.free", lambda: Room(free=room, device="a small GPU", gpus=1))
    changes = ["model=pretrained", f"model.pretrained.path={folder}"]
    if not said:
        started(tmp_path / "run", quiet_log, *changes)
        return
    with pytest.raises(EngineError, match=f"llama has .* weights: {said} .* a small GPU"):
        started(tmp_path / "run", quiet_log, *changes)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "step.json"}


@pytest.mark.long
def test_a_second_run_has_the_model_and_its_numbers(tmp_path: Path, shelves: Path, quiet_log: Any) -> None:
    first, numbers = started(tmp_path / "first", quiet_log)
    (shelf,) = shelves.iterdir()
    assert (quiet_log.notes, numbers) == ([], {"bootstrap/accuracy": 0.5})
    second, again = started(tmp_path / "second", quiet_log)
    assert (files(second), again) == (files(first), numbers) == (files(shelf), numbers)
    assert quiet_log.notes == [f"start model taken from the cache: {shelf}"]


@pytest.mark.long
def test_a_damaged_model_is_built_again_and_replaced(tmp_path: Path, shelves: Path, quiet_log: Any) -> None:
    first, _ = started(tmp_path / "first", quiet_log)
    (shelf,) = shelves.iterdir()
    (shelf / "model" / "weights").write_text("damaged")
    second, _ = started(tmp_path / "second", quiet_log)
    assert files(second) == files(first) == files(shelf) and intact(shelf) and quiet_log.notes == []


@pytest.mark.long
def test_a_model_that_another_run_has_kept_meanwhile_is_left_alone(
    tmp_path: Path, shelves: Path, quiet_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(tmp_path / "first", quiet_log)
    (shelf,) = shelves.iterdir()
    away, build = tmp_path / "away", Tiny.build
    shelf.rename(away)

    def slower(self: Tiny, *given: Any) -> Checkpoint:
        made = build(self, *given)
        away.rename(shelf)  # the other run is ready first
        return made

    monkeypatch.setattr(Tiny, "build", slower)
    before = away.stat().st_ino
    second, _ = started(tmp_path / "second", quiet_log)
    assert (shelf.stat().st_ino, list(shelves.iterdir())) == (before, [shelf])
    assert files(second) == files(shelf) and quiet_log.notes == []


@pytest.mark.long
def test_a_run_goes_on_where_nothing_can_be_kept(tmp_path: Path, shelves: Path, quiet_log: Any) -> None:
    shelves.parent.mkdir()
    shelves.write_text("a file where the folder should be")
    folder, numbers = started(tmp_path / "first", quiet_log)
    assert (folder / "checkpoint.json").exists() and numbers == {"bootstrap/accuracy": 0.5}
    (note,) = quiet_log.notes
    assert note.startswith(f"the start model could not be cached in {shelves}: ")
    assert not any(path.name.startswith(".") for path in shelves.parent.iterdir())
