"""Every write of a run folder: all or nothing, in an order that a power cut cannot undo, and nowhere else."""

from __future__ import annotations

import ast
import errno
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove.errors import DataError, RecipeError, StorageError
from selfimprove.loop.loop import Runner
from selfimprove.store import durable, failpoints
from selfimprove.trials.sweep import in_fork

PACKAGE = Path(durable.__file__).parents[1]
WRITES_RUNS = (
    *("loop/loop", "loop/begin", "loop/summary", "loop/tracking", "loop/history", "loop/controls", "loop/provenance"),
    *("store/ledger", "store/run_folder", "store/seal", "report/verify"),
)
"""Modules that could write outside of a step that `seal` watches over."""
WRITING = {"write_text", "write_bytes", "touch", "mkdir", "rename", "replace", "unlink", "symlink_to", "rmtree"}


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    def set_to(spec: str) -> None:
        monkeypatch.setenv(failpoints.SWITCH, spec)
        monkeypatch.setenv(failpoints.ROOT, str(tmp_path))

    return set_to


def operations(work: Callable[[], object], fault: Callable[[str], None]) -> list[str]:
    fault(f"*:-1:{'kill'}")
    failpoints._state = None
    work()
    return failpoints.state().seen


def test_the_order_of_a_write_and_of_an_append(tmp_path: Path, fault: Callable) -> None:
    done = operations(lambda: durable.write(tmp_path / "a", b"x"), fault)
    assert done == ["write.open", "write.data", "write.fsync", "write.rename", "write.fsync"]
    assert operations(lambda: durable.append(tmp_path / "b", b"x"), fault)[-2:] == ["append.fsync"] * 2
    assert operations(lambda: durable.append(tmp_path / "b", b"y"), fault)[-1:] == ["append.fsync"]
    assert (tmp_path / "b").read_bytes() == b"xy"


@pytest.mark.parametrize("kind", failpoints.KINDS)
def test_a_file_is_the_old_one_or_the_new_one_whatever_fails(tmp_path: Path, fault: Callable, kind: str) -> None:
    path, seen = tmp_path / "metrics.jsonl", set[bytes]()
    for number in range(5):
        path.write_bytes(b"old" * 100)
        fault(f"*:{number}:{kind}")
        ended, said = in_fork(lambda: (failpoints.state(), durable.write(path, b"new" * 200)))
        assert ended == (-signal.SIGKILL if kind in ("kill", "power", "torn") else 74), said
        assert path.read_bytes() in (b"old" * 100, b"new" * 200)
        seen.add(path.read_bytes())
    assert seen == ({b"old" * 100} if kind == "power" else {b"old" * 100, b"new" * 200})


def test_a_name_that_was_not_fsynced_is_lost_in_a_power_cut_and_data_are_torn(tmp_path: Path, fault: Callable) -> None:
    """What the faults themselves do: without this the sweep would prove nothing."""

    def careless() -> None:
        failpoints.state()
        (tmp_path / "synced").write_bytes(b"a" * 64)
        durable.fsync(tmp_path / "synced", "test")
        (tmp_path / "unsynced").write_bytes(b"b" * 64)
        (tmp_path / "grown").open("ab").write(b"c" * 64)
        durable.fsync(tmp_path / "unsynced", "last")

    for kind in ("power", "torn"):
        (tmp_path / "grown").write_bytes(b"d" * 64)
        fault(f"last.*:0:{kind}")
        assert in_fork(careless)[0] == -signal.SIGKILL
        found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert found.pop("grown") == b"d" * 64 + (b"" if kind == "gone" else b"c" * 32 + b"\0" * 32)
        assert found == ({} if kind == "power" else {"synced": b"a" * 64, "unsynced": b"b" * 32 + b"\0" * 32})
        for path in tmp_path.iterdir():
            path.unlink()


def test_an_error_comes_once_or_from_then_on(tmp_path: Path, fault: Callable) -> None:
    for kind, again in (("enospc", False), ("enospc+", True)):
        failpoints._state = None
        fault(f"write.data:1:{kind}")
        durable.write(tmp_path / "a", b"0")
        with pytest.raises(StorageError, match="No space left on device"):
            durable.write(tmp_path / "a", b"1")
        if again:
            with pytest.raises(StorageError):
                durable.write(tmp_path / "a", b"2")
        else:
            durable.write(tmp_path / "a", b"2")
        assert (tmp_path / "a").read_bytes() == (b"0" if again else b"2")


@pytest.mark.faults
def test_a_limit_that_the_system_sets_is_a_full_disk(make_run: Callable) -> None:
    folder, log = make_run("gate_problems=40", "sealed_problems=20", "probe_problems=0")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
        Runner(folder, log).run()

    ended, said = in_fork(limited)
    assert ended == 74 and "File too large" in said and "selfimprove resume" in said and "\n" not in said
    assert Runner(folder, log).run()["rounds"] == 1


def test_a_spec_that_cannot_be_read_is_refused(fault: Callable) -> None:
    for spec in ("", "kill", "*:x:kill", "*:1:explode"):
        fault(spec)
        with pytest.raises(RecipeError, match="SELFIMPROVE_FAILPOINT"):
            failpoints.state()


PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "symlink": lambda path, victim: path.symlink_to(victim),
    "hard link": lambda path, victim: path.hardlink_to(victim),
    "pipe": lambda path, victim: os.mkfifo(path),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_is_neither_followed_nor_waited_for(tmp_path: Path, kind: str) -> None:
    (tmp_path / "victim").write_text("mine")
    for name in (".a.new", "b"):
        PLANTED[kind](tmp_path / name, tmp_path / "victim")
    durable.write(tmp_path / "a", b"theirs")
    for change in (lambda: durable.append(tmp_path / "b", b"theirs"), lambda: durable.truncate(tmp_path / "b", 0)):
        with pytest.raises(DataError, match="put (?:the file|a copy) in its place"):
            change()
    assert (tmp_path / "victim").read_text() == "mine" and (tmp_path / "a").read_bytes() == b"theirs"


def test_a_copy_that_finds_the_disk_full_is_a_storage_error(tmp_path: Path) -> None:
    """shutil collects the errors of all files in one without a number: a start model's, on the way from the cache."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "weights").write_text("1")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "weights")

    with pytest.raises(StorageError, match="cannot write: No space left on device"), durable.storage():
        shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=full)


def test_the_errors_of_other_libraries_about_a_disk_are_storage_errors() -> None:
    for said in ("SafetensorError: I/O error: No space left on device (os error 28)", "File too large (os error 27)"):
        with pytest.raises(StorageError) as error, durable.storage():
            raise RuntimeError(said)
        assert error.value.code == 74 and "\n" not in str(error.value)
    with pytest.raises(ZeroDivisionError), durable.storage():
        raise ZeroDivisionError
    with pytest.raises(StorageError, match="fix this"), durable.storage():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize("module", WRITES_RUNS)
def test_nothing_else_writes_into_a_run_folder(module: str) -> None:
    """Steps write in their own folder, which `seal` fsyncs and hashes; all else goes through durable.py."""
    allowed = {"store/seal": {"draft"}, "store/run_folder": {"lock"}}.get(module, set())
    found = []
    for function in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if not isinstance(function, ast.FunctionDef) or function.name in allowed:
            continue
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            if not isinstance(call.func, ast.Attribute):
                continue
            name, owner = call.func.attr, ast.unparse(call.func.value)
            modes = [
                node.value for node in [*call.args, *(k.value for k in call.keywords)] if isinstance(node, ast.Constant)
            ]
            opens = name == "open" and any(isinstance(mode, str) and set(mode) & set("wax+") for mode in modes)
            text = name == "replace" and len(call.args) == 2
            if (name in WRITING and owner != "durable" and not text) or opens:
                found.append(f"{module}.{function.name}: {ast.unparse(call)}")
    assert not found


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(DataError, match=r"metrics\.jsonl is a folder, not a file"):
        durable.write(tmp_path / "metrics.jsonl", b"x")
