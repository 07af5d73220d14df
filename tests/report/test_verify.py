"""`verify` names what is not as it was written, and changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove.errors import MissingError
from selfimprove.loop.loop import Runner
from selfimprove.report.verify import _rounds, verify
from selfimprove.store.run_folder import RunDir

pytestmark = pytest.mark.faults


@pytest.fixture
def finished(make_run: Callable) -> RunDir:
    folder, log = make_run("gate_problems=20", "sealed_problems=10", "probe_problems=0")
    Runner(folder, log).run()
    return folder


def wrong(root: Path) -> dict[str, str]:
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    found = {finding.what: finding.said for finding in verify(root) if finding.fine is False}
    assert before == {path: path.lstat().st_mtime_ns for path in root.rglob("*")}, "verify wrote something"
    return found


def test_a_finished_run_is_fine_and_each_damage_is_named(finished: RunDir, tmp_path: Path) -> None:
    assert wrong(finished.root) == {}
    ledger = (finished.root / "ledger.jsonl").read_text()
    texts = {
        "metrics.jsonl": ("metrics.jsonl", "", "differs from the steps"),
        "summary.json": ("summary.json", "{}", "damaged"),
        "ledger.jsonl": ("ledger.jsonl", ledger.rpartition("{")[0], "has no line for step sealed of round 1"),
        "environment.json": ("recipe and environment", "{}", "is damaged"),
        "round_001/gate/decision.json": ("round_001/gate", "{}", "has another length"),
    }
    for number, (name, (what, text, said)) in enumerate(texts.items()):
        root = tmp_path / f"copy-{number}"
        shutil.copytree(finished.root, root, symlinks=True)
        (root / name).write_text(text)
        found = wrong(root)
        assert said in found[what], found


def test_what_resume_makes_again_is_missed_when_it_is_gone_or_behind_a_symlink(finished: RunDir) -> None:
    for name in ("metrics.jsonl", "summary.json"):
        away = (finished.root / name).rename(finished.root.with_name(name))
        assert "resume writes it" in wrong(finished.root)[name]
        (finished.root / name).symlink_to(away)
        assert "a symlink is in its place" in wrong(finished.root)[name]
        (finished.root / name).unlink()
        away.rename(finished.root / name)
    assert wrong(finished.root) == {}


def test_a_torn_last_line_of_the_ledger_is_left_for_resume(finished: RunDir) -> None:
    with (finished.root / "ledger.jsonl").open("a") as file:
        file.write('{"round": 1, "st')
    assert wrong(finished.root) == {}


def test_a_swapped_or_foreign_step_and_a_wrong_champion_are_found(finished: RunDir) -> None:
    weights = (finished.root / "champion").resolve()
    (finished.root / "champion").unlink()
    (finished.root / "champion").symlink_to("round_001")
    assert "should point to" in wrong(finished.root)["champion"]
    (finished.root / "champion").unlink()
    (finished.root / "champion").symlink_to("champion")
    assert "should point to" in wrong(finished.root)["champion"]
    (finished.root / "champion").unlink()
    shutil.copytree(weights, finished.root / "champion")  # as a copy without symlinks leaves it
    assert "champion" not in wrong(finished.root)
    (finished.root / "champion" / "more").touch()
    assert "should point to" in wrong(finished.root)["champion"]
    shutil.copytree(finished.step(0, "evaluation"), finished.step(1, "extra"))
    assert wrong(finished.root)["round_001/extra"] == "does not belong to the run"
    shutil.rmtree(finished.step(1, "evaluation"))
    shutil.copytree(finished.step(0, "evaluation"), finished.step(1, "evaluation"))
    assert wrong(finished.root)["round_001/evaluation"] == "made with other options"


def test_a_step_that_was_remade_shows_in_the_one_after_it(finished: RunDir) -> None:
    step = finished.step(1, "selection")
    manifest = json.loads((step / "step.json").read_text())
    shutil.copytree(step, finished.begin(1, "selection"), dirs_exist_ok=True)
    shutil.rmtree(step)
    (finished.partial(1, "selection") / "output.jsonl").write_text("")
    finished.commit(1, "selection", {name: manifest[name] for name in ("fingerprint", "inputs", "counts", "metrics")})
    assert wrong(finished.root)["round_001/optimization"] == "made from other inputs"


def test_a_run_that_is_not_finished_is_fine(make_run: Callable) -> None:
    folder, log = make_run()
    assert wrong(folder.root) == {}
    log.step = lambda number, stage: stage == "audit" and (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        Runner(folder, log).run()
    assert wrong(folder.root) == {}
    with pytest.raises(MissingError):
        verify(folder.root.parent / "nowhere")


def test_rounds_are_in_order_beyond_a_thousand(tmp_path: Path) -> None:
    for number in (1000, 2, 999, 1001):
        (tmp_path / f"round_{number:03d}").mkdir()
    assert [path.name for path in _rounds(tmp_path)] == ["round_002", "round_999", "round_1000", "round_1001"]
