"""The run folder: a step exists only when it is complete, whatever went wrong while it was written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import BusyError, DataError, MissingError, StorageError
from selfimprove.loop.begin import create
from selfimprove.loop.loop import Runner
from selfimprove.store import run_folder
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import damage, intact, is_signed, seal, signed, write_json, write_text


@pytest.fixture
def folder(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run")


def make_step(folder: RunDir, text: str = "content", fingerprint: str = "f1") -> Path:
    partial = folder.begin(1, "selection")
    (partial / "output.jsonl").write_text(text)
    (partial / "model").mkdir()
    (partial / "model" / "weights").write_bytes(b"\x00\x01")
    return folder.commit(1, "selection", {"fingerprint": fingerprint, "counts": {"kept": 1}})


def files(root: Path) -> dict[str, bytes]:
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != "LOCK")
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def linked(path: Path) -> None:
    """The same content behind a symlink."""
    away = path.parents[2] / "away"
    path.rename(away)
    path.symlink_to(away)


# ---- folders -----------------------------------------------------------------------------------------------------
def test_a_new_run_needs_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert RunDir.create(tmp_path / "empty").root == tmp_path / "empty"
    assert RunDir.create(tmp_path / "a" / "b").root.is_dir()
    (tmp_path / "empty" / "file").write_text("mine")
    with pytest.raises(StorageError, match="not empty") as error:
        RunDir.create(tmp_path / "empty")
    assert error.value.code == 74 and "\n" not in str(error.value)
    assert files(tmp_path / "empty") == {"file": b"mine"}


def test_a_file_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(StorageError, match="file"):
            RunDir.create(path)


def test_opening_what_is_no_run_says_so(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("rounds: 1")
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(MissingError, match="is not a run folder") as error:
            RunDir.open(path)
        assert error.value.code == 66


# ---- steps -------------------------------------------------------------------------------------------------------
def test_a_step_exists_only_after_its_commit(folder: RunDir) -> None:
    assert not folder.done(1, "selection", "f1")
    partial = folder.begin(1, "selection")
    (partial / "output.jsonl").write_text("x")
    assert not folder.done(1, "selection", "f1") and not folder.step(1, "selection").exists()
    folder.commit(1, "selection", {"fingerprint": "f1"})
    assert folder.done(1, "selection", "f1")
    assert not partial.exists() and folder.step(1, "selection") == folder.root / "round_001" / "selection"


def test_the_manifest_holds_the_notes_and_the_hash_of_every_file(folder: RunDir) -> None:
    step = make_step(folder)
    manifest = folder.manifest(1, "selection")
    assert is_signed(manifest) and "timing.json" not in manifest["files"]
    assert manifest["fingerprint"] == "f1" and manifest["counts"] == {"kept": 1}
    assert manifest["files"] == {
        "model/weights": {"size": 2, "sha256": "b413f47d13ee2fe6c845b2ee141af81de858df4ec549a58b7970bb96645bc8d2"},
        "output.jsonl": {"size": 7, "sha256": "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"},
    }
    assert json.loads((step / "step.json").read_text()) == manifest


def test_a_step_made_with_other_options_is_refused_and_kept(folder: RunDir) -> None:
    step = make_step(folder)
    before = files(step)
    with pytest.raises(DataError, match="made with other options") as error:
        folder.done(1, "selection", "f2")
    assert str(step) in str(error.value) and error.value.code == 65 and files(step) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda step: (step / "output.jsonl").write_text("contenT"),
        lambda step: (step / "output.jsonl").unlink(),
        lambda step: (step / "model" / "weights").write_bytes(b""),
        lambda step: (step / "step.json").unlink(),
        lambda step: (step / "step.json").write_text('{"fingerprint": "f1", "fil'),
        lambda step: (step / "step.json").write_text("[]"),
        lambda step: (step / "step.json").write_text('{"fingerprint": "f1", "files": ["output.jsonl"]}'),
        lambda step: (step / "step.json").write_bytes(b"\xff\xfe"),
        lambda step: shutil.rmtree(step / "model"),
        lambda step: (step / "step.json").write_text(
            (step / "step.json").read_text().replace('"kept": 1', '"kept": 2')
        ),
        lambda step: (step / "model" / "adapter_config.json").write_text("{}"),
        lambda step: linked(step / "output.jsonl"),
    ],
    ids=[
        *("changed", "removed", "emptied", "no_manifest", "cut_off", "list", "bad_files", "not_utf8", "folder_gone"),
        *("count_changed", "file_added", "file_behind_a_symlink"),
    ],
)
def test_a_damaged_step_is_put_aside_and_can_be_made_again(folder: RunDir, damage: Callable[[Path], Any]) -> None:
    step = make_step(folder)
    damage(step)
    assert not folder.done(1, "selection", "f1") and not step.exists()
    [aside] = (folder.root / "quarantine").iterdir()
    assert aside.name.endswith("round_001_selection")
    damage(make_step(folder))
    assert not folder.done(1, "selection", "f1")
    assert len(list((folder.root / "quarantine").iterdir())) == 2
    make_step(folder)
    assert folder.done(1, "selection", "f1")


def test_a_signed_manifest_without_notes_is_that_of_other_options(folder: RunDir) -> None:
    place = make_step(folder)
    plain = {"files": json.loads((place / "step.json").read_text())["files"]}
    write_json(place / "step.json", signed(plain))
    with pytest.raises(DataError, match="made with other options"):
        folder.done(1, "selection", "f1")
    assert folder.manifest(1, "selection") == signed(plain)


def test_a_step_is_redone_when_what_it_was_made_from_was_redone(folder: RunDir) -> None:
    for inputs, text in (("a", "one"), ("b", "two")):
        (folder.begin(1, "selection") / "output.jsonl").write_text(text)
        folder.commit(1, "selection", {"fingerprint": "f1", "inputs": inputs})
        said: list[str] = []
        assert folder.done(1, "selection", "f1", inputs, said.append) and not said
        assert not folder.done(1, "selection", "f1", "other", said.append)
        assert len(said) == 1 and "an earlier step was repeated" in said[0] and "quarantine" in said[0]


def test_the_content_of_a_step_is_its_files_and_what_they_were_made_from(folder: RunDir) -> None:
    seen = set()
    for place, (inputs, text) in enumerate([("a", "x"), ("a", "y"), ("b", "x")]):
        (folder.begin(place, "gate") / "decision.json").write_text(text)
        folder.commit(place, "gate", {"fingerprint": "", "inputs": inputs}, seconds=float(place))
        assert folder.seconds(place, "gate") == place
        seen.add(folder.content(place, "gate"))
    (folder.begin(3, "gate") / "decision.json").write_text("x")
    folder.commit(3, "gate", {"fingerprint": "another", "inputs": "b"}, seconds=99.0)
    assert len(seen) == 3 and folder.content(3, "gate") in seen, "neither time nor options are content"


def test_a_symlink_in_place_of_a_step_or_a_round_is_refused(folder: RunDir, tmp_path: Path) -> None:
    step = make_step(folder)
    away = step.parent.rename(tmp_path / "away")
    step.parent.symlink_to(away)
    with pytest.raises(DataError, match=r"round_001 is a symlink"):
        folder.done(1, "selection", "f1")
    partial = folder.begin(2, "selection")
    (partial / "weights").symlink_to(away)
    with pytest.raises(DataError, match="weights is a symlink"):
        folder.commit(2, "selection", {})


def test_a_run_that_was_killed_before_it_began_can_be_begun_again(tmp_path: Path) -> None:
    root = RunDir.create(tmp_path / "run").root
    for name in (".recipe.yaml.new", "recipe.yaml", ".environment.json.new"):
        (root / name).write_text("half")
        assert RunDir.create(root).root == root
    (root / "environment.json").write_text("{}")
    with pytest.raises(StorageError, match="not empty"):
        RunDir.create(root)


def test_signed_values_show_a_change() -> None:
    values = signed({"a": 1, "b": {10: (1, 2.5), 9: None}})
    assert is_signed(values) and is_signed(json.loads(json.dumps(values))) and signed(values) == values
    assert not is_signed({**values, "a": 2}) and not is_signed({"a": 1})


def test_a_fault_is_named(folder: RunDir) -> None:
    step = make_step(folder)
    assert damage(step) == ""
    (step / "output.jsonl").write_text("contenT")
    assert damage(step) == "output.jsonl was changed"
    (step / "output.jsonl").write_text("conten")
    assert damage(step) == "output.jsonl has another length"
    (step / "extra").write_text("")
    assert damage(step) == "extra does not belong to it"


def test_what_is_read_of_a_step_is_read_again_when_it_is_looked_through_or_done_again(folder: RunDir) -> None:
    def names() -> list[str]:
        return folder.once(1, "selection", "names", lambda step: sorted(path.name for path in step.iterdir()))

    step = make_step(folder)
    first = names()
    assert names() is first
    assert folder.done(1, "selection", "f1")
    assert names() == first and names() is not first
    shutil.rmtree(step)
    folder.begin(1, "selection")
    (folder.partial(1, "selection") / "other.txt").write_text("x")
    folder.commit(1, "selection", {"fingerprint": "f1"})
    assert "other.txt" in names()


def test_begin_clears_what_a_killed_step_left(folder: RunDir) -> None:
    (folder.begin(1, "selection") / "half").write_text("x")
    assert files(folder.begin(1, "selection")) == {}


def test_discard_removes_the_unfinished_step_only(folder: RunDir) -> None:
    step = make_step(folder)
    (folder.begin(1, "selection") / "half").write_text("x")
    folder.discard(1, "selection")
    assert [path.name for path in step.parent.iterdir()] == ["selection"]
    folder.discard(2, "gate")


def test_a_failing_disk_leaves_no_step_or_a_whole_one(folder: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """The n-th fsync of a commit fails, for every n; then the step is made again."""
    fsync, failures = os.fsync, 0
    for n in range(50):
        calls = 0

        def failing(handle: int, n: int = n) -> None:
            nonlocal calls
            calls += 1
            if calls == n + 1:
                raise OSError(errno.EIO, "Input/output error")
            fsync(handle)

        monkeypatch.setattr(run_folder.os, "fsync", failing)
        try:
            make_step(folder)
            break
        except StorageError as error:
            failures += 1
            assert error.code == 74 and "\n" not in str(error)
        monkeypatch.setattr(run_folder.os, "fsync", fsync)
        if folder.step(1, "selection").exists():
            assert folder.done(1, "selection", "f1")
            shutil.rmtree(folder.step(1, "selection"))
        make_step(folder, text=f"again {n}")
        assert folder.done(1, "selection", "f1")
        shutil.rmtree(folder.step(1, "selection"))
    assert folder.done(1, "selection", "f1")
    assert failures >= 6  # two files, their folder, the manifest, the step and the folders above it
    assert not (folder.root / "quarantine").exists()


def test_the_manifest_is_written_last_and_all_files_are_synced_before_it(
    folder: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def watch(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    monkeypatch.setattr(run_folder.os, "fsync", watch)
    make_step(folder)
    manifest = synced.index(".step.json.new")
    assert {"output.jsonl", "weights", "model"} <= set(synced[:manifest])
    assert synced[manifest + 1 :] == [".selection.partial", "round_001"]
    assert synced[:2] == ["run", "round_001"], "the folders above the step, when they were made"


# ---- files -------------------------------------------------------------------------------------------------------
def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    write_text(path, "old\n")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "metrics.jsonl")

    monkeypatch.setattr(run_folder.os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot write \(metrics.jsonl\): No space left on device") as error:
        write_text(path, "new\n")
    assert error.value.code == 74 and path.read_text() == "old\n"
    monkeypatch.undo()
    write_json(path, {"a": "\u00e9"})
    assert json.loads(path.read_text()) == {"a": "\u00e9"}
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_an_error_that_is_no_storage_error_keeps_its_traceback() -> None:
    with pytest.raises(FileNotFoundError), run_folder.storage():
        Path("/nowhere/at/all").read_text()
    with pytest.raises(StorageError, match="Permission denied"), run_folder.storage():
        raise PermissionError(errno.EACCES, "Permission denied", "x")


def test_a_sealed_folder_is_intact_until_a_file_changes(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"1")
    assert not intact(tmp_path) and not intact(tmp_path / "nowhere")
    seal(tmp_path, {"content": "x"})
    assert intact(tmp_path)
    (tmp_path / "weights").write_bytes(b"2")
    assert not intact(tmp_path)


def test_the_champion_link_moves_in_one_step_and_with_the_run(folder: RunDir, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (folder.root / name).mkdir()
        (folder.root / name / "name").write_text(name)
        folder.point("champion", folder.root / name)
        assert (folder.root / "champion" / "name").read_text() == name
    moved = folder.root.rename(tmp_path / "moved")
    assert (moved / "champion" / "name").read_text() == "two"
    assert sorted(path.name for path in moved.iterdir()) == ["champion", "one", "two"]


# ---- the lock ----------------------------------------------------------------------------------------------------
def test_one_process_at_a_time(folder: RunDir) -> None:
    other = RunDir(folder.root)
    with folder.lock():
        with pytest.raises(BusyError, match=rf"in use by pid {os.getpid()} on ") as error, other.lock():
            raise AssertionError("two holders")
        assert error.value.code == 75 and "\n" not in str(error.value)
    with other.lock():
        pass


def test_the_lock_is_free_after_an_error_and_after_a_dead_process(folder: RunDir) -> None:
    with pytest.raises(KeyError), folder.lock():
        raise KeyError
    (folder.root / "LOCK").write_text("pid 1 on a-machine-that-is-gone\n")
    with folder.lock():
        assert (folder.root / "LOCK").read_text().startswith(f"pid {os.getpid()} on ")


@pytest.mark.faults
def test_a_busy_run_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    folder = create("quickstart", [], tmp_path / "run")
    program = (
        "import sys; sys.argv = ['selfimprove', 'resume', sys.argv[1]]\n"
        "from selfimprove.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as left: print(left.code, 'torch' in sys.modules)\n"
    )
    with folder.lock():
        done = subprocess.run([sys.executable, "-c", program, str(folder.root)], capture_output=True, text=True)
    assert done.stdout == "75 False\n" and f"in use by pid {os.getpid()} on " in done.stderr


@pytest.mark.parametrize(("content", "kept"), [("weights", []), ("other", ["000_champion"])])
def test_a_link_that_became_a_folder_when_the_run_was_copied_is_a_link_again(
    folder: RunDir, content: str, kept: list[str]
) -> None:
    model = folder.root / "round_001" / "optimization" / "model"
    for place in (model, folder.root / "champion"):
        place.mkdir(parents=True)
        (place / "model.safetensors").write_text("weights")
    (folder.root / "champion" / "model.safetensors").write_text(content)
    folder.point("champion", model)
    assert str((folder.root / "champion").readlink()) == "round_001/optimization/model"
    assert [path.name for path in folder.root.glob("quarantine/*")] == kept


# ---- a whole run -------------------------------------------------------------------------------------------------
@pytest.mark.faults
def test_a_finished_run_repeats_no_step_and_a_damaged_step_is_made_again(make_run: Callable) -> None:
    folder, log = make_run()
    first = Runner(folder, log).run()
    assert [stage for _, stage in log.steps][:3] == ["model", "refinement", "evaluation"]
    before, log.steps = files(folder.root), []
    assert Runner(folder, log).run() == first and log.steps == [] and files(folder.root) == before

    (folder.step(1, "selection") / "output.jsonl").write_text("")
    again = Runner(folder, log).run()
    assert log.steps == [(1, "selection")]
    assert again["sealed"] == first["sealed"] and intact(folder.step(1, "selection"))
    assert (folder.step(1, "selection") / "output.jsonl").read_bytes() == before["round_001/selection/output.jsonl"]


@pytest.mark.faults
def test_a_moved_run_goes_on(make_run: Callable, tmp_path: Path) -> None:
    folder, log = make_run()
    Runner(folder, log).run()
    moved, log.steps = folder.root.rename(tmp_path / "elsewhere"), []
    summary = Runner(RunDir.open(moved), log).run(2)
    assert summary["rounds"] == 2 and {number for number, _ in log.steps} == {2}


@pytest.mark.faults
def test_a_run_that_was_stopped_in_a_step_ends_as_if_it_had_not(
    make_run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, log = make_run(name="whole")
    expected = Runner(whole, log).run()
    stopped, log = make_run(name="stopped")
    runner = Runner(stopped, log)
    perform = runner.perform

    def interrupt(number: int, at: str, fingerprint: str) -> None:
        if (number, at) == (1, "optimization"):
            (stopped.begin(number, at) / "half").write_text("x")
            raise KeyboardInterrupt
        perform(number, at, fingerprint)

    monkeypatch.setattr(runner, "perform", interrupt)
    with pytest.raises(KeyboardInterrupt):
        runner.run()
    assert Runner(stopped, log).run()["sealed"] == expected["sealed"]
    for path in sorted(whole.root.rglob("*.jsonl")):
        if path.name != "metrics.jsonl":  # it holds the seconds
            assert (stopped.root / path.relative_to(whole.root)).read_bytes() == path.read_bytes()
