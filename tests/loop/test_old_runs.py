"""Run folders that an older version made still resume, verify, report and compare, to the same bytes.

`old_runs/` was made at commit 3f0b9c4, when all modules lay side by side, from the recipe `old.yaml`, the two
methods below and an engine that is now the student of the rehearsal: `finished` ran to its end, `half` was killed at
the commit of the audit of round 1. Only `LOCK` was taken out. Nothing in there is to be written again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from selfimprove import registry
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Engine, Log, Model, Optimization, Task
from selfimprove.loop.begin import machine_now
from selfimprove.loop.loop import Runner
from selfimprove.records import Checkpoint, Record, Rollout
from selfimprove.report.compare import compare
from selfimprove.report.verify import verify
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import signed, write_json
from selfimprove.trials.rehearsal import Student, contents, skill_of

OLD = Path(__file__).with_name("old_runs")


def weights(folder: Path, skill: float) -> Checkpoint:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"skill": skill}))
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (folder / "tokenizer.json").write_text("{}")
    return Checkpoint(path=str(folder))


@dataclass
class Exercise(Optimization):
    """Each round adds to the chance of a right answer."""

    consumes: ClassVar[Any] = Rollout

    def optimize(self, records: Sequence[Record], context: Context) -> Checkpoint:
        return weights(context.folder / "model", min(1.0, skill_of(context.policy.checkpoint) + 0.25))


@dataclass
class Unschooled(Model):
    """A start that is right once in five times."""

    def build(self, task: Task, engine: Engine, folder: Path, seed: int, log: Log) -> Checkpoint:
        return weights(folder / "model", 0.2)


SINCE = ("completions", "drawn_tokens", "scored", "steps")
"""Counts of steps that the old version did not note."""
METHODS = {("engine", "pupil"): Student, ("optimization", "exercise"): Exercise, ("model", "unschooled"): Unschooled}


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """`old("half")`: a copy of an old run, which says that it began on this machine with these versions."""
    registry.discover()
    entries = {(slot, name): registry.Entry(slot, name, method, "") for (slot, name), method in METHODS.items()}
    monkeypatch.setattr(registry, "METHODS", registry.METHODS | entries)

    def copied(name: str) -> Path:
        root = tmp_path / name
        shutil.copytree(OLD / name, root, symlinks=True)
        noted = json.loads((root / "environment.json").read_text())
        write_json(root / "environment.json", signed({**noted, **machine_now(noted["settings"])}))
        return root

    return copied


def as_then(root: Path) -> dict[str, str]:
    """Every file of a run, without the counts that a step has noted only since and the words of a gate's reason."""
    found = contents(root)
    for name, data in found.items():
        if name.endswith("step.json"):
            step = json.loads(bytes.fromhex(data))
            step["counts"] = {key: value for key, value in step["counts"].items() if key not in SINCE}
            step["files"].pop("decision.json", None)
            found[name] = json.dumps({**step, "sha256": "", "inputs": ""})
        elif name.endswith("decision.json"):
            found[name] = json.dumps({**json.loads(bytes.fromhex(data)), "reason": ""})
        elif name == "metrics.jsonl":
            lines = [json.loads(line) for line in bytes.fromhex(data).splitlines()]
            kept = [{key: line[key] for key in line if key.split("/")[-1] not in SINCE} for line in lines]
            for line in kept:
                line["decision"] = {**line.get("decision", {}), "reason": ""}
            found[name] = json.dumps(kept)
    return {name: data for name, data in found.items() if name != "summary.json"}


@pytest.mark.long
def test_what_was_half_finished_ends_with_the_bytes_of_what_was_finished(
    old: Callable[[str], Path], quiet_log: Any
) -> None:
    half, whole = old("half"), old("finished")
    summary = json.loads(json.dumps(Runner(RunDir.open(half), quiet_log).run()))
    assert quiet_log.steps[0] == (1, "audit") and quiet_log.notes == []
    then = json.loads((whole / "summary.json").read_bytes())
    parts = ("rounds", "verdict", "stopped", "sealed", "metrics", "loop")
    assert {part: summary[part] for part in parts} == {part: then[part] for part in parts}
    made, expected = as_then(half), as_then(whole)
    assert made.keys() == expected.keys()
    assert [name for name in made if made[name] != expected[name]] == []


@pytest.mark.long
def test_what_was_finished_is_not_touched_by_a_resume_verifies_and_compares(
    old: Callable[[str], Path], quiet_log: Any
) -> None:
    whole, other = old("finished"), old("half")
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    assert all(finding.fine for finding in verify(whole))
    again = Runner(RunDir.open(whole), quiet_log).run()
    assert quiet_log.steps == [] and [line["round"] for line in quiet_log.rounds] == [0, 1, 2]
    after = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file() and path.name != "LOCK"}
    assert before == after
    assert again["verdict"].startswith("no significant gain: the start stays champion")
    Runner(RunDir.open(other), quiet_log).run()
    [made] = compare([whole, other])["comparisons"]
    assert (made["paired"], made["n"], made["difference"]) == (True, [8, 8], 0.0)


@dataclass
class Exercise2(Exercise):
    """The same method in a later version of the program."""

    warmup: int = 0
    """An option that the old version did not have."""


@pytest.mark.long
def test_an_option_that_a_method_has_got_since_keeps_no_old_run_from_going_on(
    old: Callable[[str], Path], quiet_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = registry.Entry("optimization", "exercise", Exercise2, "")
    monkeypatch.setitem(registry.METHODS, ("optimization", "exercise"), entry)
    half, whole = old("half"), old("finished")
    Runner(RunDir.open(half), quiet_log).run()
    assert quiet_log.steps[0] == (1, "audit"), "no finished step was done again"
    made, expected = as_then(half), as_then(whole)
    assert [name for name in made if made[name] != expected[name]] == []


def test_such_an_option_that_somebody_sets_is_a_change(
    old: Callable[[str], Path], quiet_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = registry.Entry("optimization", "exercise", Exercise2, "")
    monkeypatch.setitem(registry.METHODS, ("optimization", "exercise"), entry)
    half = old("half")
    recipe = half / "recipe.yaml"
    said = yaml.safe_load(recipe.read_text())
    said["optimization"]["exercise"] = {"warmup": 3}
    recipe.write_text(yaml.safe_dump(said, sort_keys=False))
    with pytest.raises(RecipeError, match=r"optimization\.exercise\.warmup was None, is 3"):
        Runner(RunDir.open(half), quiet_log)
