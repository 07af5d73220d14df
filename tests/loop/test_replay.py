"""A branch: what it shares, what its own steps may not read again, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, RecipeError, StorageError
from selfimprove.loop.history import Stored
from selfimprove.loop.loop import Runner
from selfimprove.loop.replay import replay
from selfimprove.loop.step_files import read_report
from selfimprove.recipe.compose import Load
from selfimprove.report.compare import compare
from selfimprove.report.verify import verify
from selfimprove.store.pruning import prune
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import read_manifest

SMALL = ["gate_problems=40", "sealed_problems=40", "probe_problems=10", "audit_problems=10", "control_problems=10"]
MORE = ["optimization.practice.gain=0.35"]


@pytest.fixture
def finished(make_run: Callable[..., Any], load_once: Load) -> RunDir:
    """A run of three rounds."""
    folder, log = make_run("rounds=3", *SMALL)
    Runner(folder, log, load_once).run()
    return folder


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def steps(folder: RunDir) -> set[tuple[int, str]]:
    return {(int(p.parent.name[6:]), p.name) for p in folder.root.glob("round_*/[!.]*")}


def asked(folder: RunDir, number: int, step: str, who: str = "champion") -> set[str]:
    """The problems of an exam."""
    return set(read_report(folder.step(number, step), who).scores)


def decided(folder: RunDir) -> dict[tuple[int, str], set[str]]:
    """The gate problems of each decision."""
    return {place: asked(folder, *place) for place in steps(folder) if place[1] in ("evaluation", "confirmation")}


@pytest.mark.long
def test_a_branch_shares_finished_steps_and_decides_on_problems_that_the_other_run_has_not_used(
    finished: RunDir, quiet_log: Any, tmp_path: Path, load_once: Load
) -> None:
    before = tree(finished.root)
    branch = replay(finished.root, 2, MORE, tmp_path / "branch", load_once)
    shared = steps(branch)
    assert {stage for number, stage in shared if number == 2} == {"acquisition", "selection"}
    assert {place for place in steps(finished) if place[0] < 2} <= shared and max(shared)[0] == 2
    told = Stored(branch, load_once).branch
    assert told and (told.round, told.step, told.exams, told.steps) == (2, "optimization", 1, len(shared))
    assert told.tokens == sum(
        finished.manifest(*place).get("counts", {}).get("drawn_tokens", 0) for place in shared if place[1] != "model"
    )
    one, other = (place.step(1, "selection") / "output.jsonl" for place in (finished, branch))
    assert one.samefile(other)
    summary = Runner(branch, quiet_log, load_once).run()
    assert all(finding.fine for finding in verify(branch.root, load_once))
    used, own = decided(finished), decided(branch)
    assert own[1, "evaluation"] == used[1, "evaluation"]
    late = [keys for place, keys in own.items() if place[0] > 1]
    assert late and all(keys and not any(keys & old for old in used.values()) for keys in late)
    assert asked(finished, 3, "sealed") != asked(branch, 3, "sealed")
    assert summary["sealed"]["reads"] == 2
    again = tree(branch.root)
    assert Runner(RunDir.open(branch.root), quiet_log, load_once).run() == summary
    assert tree(branch.root).keys() == again.keys() and tree(finished.root) == before
    assert compare([finished.root, branch.root])["comparisons"][0]["paired"] is False
    twice = replay(branch.root, 3, ["optimization.practice.gain=0.1"], tmp_path / "twice", load_once)
    Runner(twice, quiet_log, load_once).run()
    last = asked(twice, 3, "evaluation")
    assert last and not any(last & keys for keys in [*used.values(), own[3, "evaluation"]])
    assert all(finding.fine for finding in verify(twice.root, load_once))


@pytest.mark.long
def test_before_the_other_run_has_held_its_exam_both_hold_the_same(
    finished: RunDir, quiet_log: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load_once: Load
) -> None:
    sealed = finished.step(3, "sealed")
    sealed.rename(tmp_path / "sealed")
    (finished.root / "summary.json").unlink()

    def nowhere(*given: Any, **more: Any) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", nowhere)
    branch = replay(finished.root, 1, MORE, tmp_path / "branch", load_once)
    assert not (finished.step(0, "model") / "step.json").samefile(branch.step(0, "model") / "step.json")
    assert Runner(branch, quiet_log, load_once).run()["sealed"]["reads"] == 1
    Runner(RunDir.open(finished.root), quiet_log, load_once).run()
    assert compare([finished.root, branch.root])["comparisons"][0]["paired"] is True


@pytest.mark.long
def test_what_cannot_be_a_branch_is_refused_in_one_line_and_leaves_nothing(
    finished: RunDir, tmp_path: Path, load_once: Load
) -> None:
    for number, changes, words in (
        (0, MORE, "--from 0 cannot be shared: rounds 0 to 3"),
        (5, MORE, "give a round from 1 to 4"),
        (4, MORE, "ends with round 3. Go on with it: selfimprove resume"),
        (2, ["gate_problems=50"], "gate_problems cannot change in a branch: only options of acquisition"),
        (2, ["rounds=9"], "rounds cannot change"),
        (2, ["selection=everything"], "selection cannot change"),
        (2, ["optimization.practice.gain=0.2"], "nothing changes from round 2 on"),
        (2, [], "nothing changes"),
        (2, ["optimization.practice.gian=1"], "no option 'gian'"),
    ):
        with pytest.raises(RecipeError, match=words):
            replay(finished.root, number, changes, tmp_path / "branch", load_once)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(StorageError, match="not empty"):
        replay(finished.root, 2, MORE, tmp_path / "full", load_once)
    maker = Stored(finished, load_once).standing(3).incumbent
    made = finished.step(maker, "optimization" if maker else "model")
    prune(made, [name for name in read_manifest(made)["files"] if name.endswith("model.safetensors")])
    with pytest.raises(DataError, match="were pruned"):
        replay(finished.root, 3, MORE, tmp_path / "branch", load_once)
    weights = finished.step(1, "selection") / "output.jsonl"
    weights.write_text(weights.read_text()[:-5])
    with pytest.raises(DataError, match=r"round_001/selection cannot be shared: .* Repair the run first"):
        replay(finished.root, 2, MORE, tmp_path / "branch", load_once)
    assert {path.name for path in tmp_path.glob("*branch*")} == set()
    branch = replay(finished.root, 1, MORE, None, load_once)
    assert branch.root.name == "run-replay"
    (branch.root / "replay.json").write_text(
        (branch.root / "replay.json").read_text().replace('"exams": 1', '"exams": 0')
    )
    with pytest.raises(DataError, match="not the one that the ledger has"):
        Stored(branch, load_once)
    (branch.root / "replay.json").unlink()
    with pytest.raises(DataError, match=r"replay.json is missing"):
        Stored(branch, load_once)
