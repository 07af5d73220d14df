"""The state of a run, asked from outside while it goes, waits, was stopped or is done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, MissingError, WaitingError
from selfimprove.loop.loop import Runner
from selfimprove.report import disk, status_text
from selfimprove.report.holder import holder
from selfimprove.report.lines import last_lines
from selfimprove.report.status import newest_round, rounds_in, runs_in, status_of


@pytest.mark.long
def test_a_run_is_seen_in_each_of_its_states(make_run: Callable[..., Any], tmp_path: Path) -> None:
    folder, log = make_run("rounds=2", "gate_problems=40")
    root = folder.root
    now = status_of(root)
    assert (now.state, now.code, now.round, now.rounds) == ("stopped", 3, 0, 2)
    runner = Runner(folder, log)
    looked = list[Any]()
    perform = runner.perform

    def watched(number: int, stage: str, fingerprint: str) -> None:
        if (number, stage) == (2, "selection"):
            folder.begin(number, stage)
            told = {"pid": 1, "host": "h", "round": 2, "stage": "selection", "done": 5, "total": 40, "unit": "records"}
            (root / "progress.json").write_text(json.dumps({**told, "rate": 2.5, "time": 0.0}))
            looked.append(status_of(root))
        perform(number, stage, fingerprint)

    runner.perform = watched  # type: ignore[method-assign]
    runner.run()
    [during] = looked
    assert (during.state, during.code, during.round, during.stage) == ("running", 75, 2, "selection")
    assert during.progress["done"] == 5 and during.holder["pid"] == os.getpid() and during.left is not None
    page = "\n".join(status_text.page(during, during.written + 3))
    assert "round 2 of 2" in page and "5/40 records" in page and "14 s left" in page and "alive" in page

    done = status_of(root)
    assert (done.state, done.code, done.round, done.stage) == ("done", 0, 2, "")
    assert done.verdict and done.commands[0] == f"selfimprove report {root} --html"
    assert done.disk > 1000 and [line["round"] for line in done.lines] == [0, 1, 2]
    json.dumps(done.plain())
    line, shown = done.lines[-1], status_text.page(done, done.written)
    assert line["last"]["seconds"] > 0 and not {"confirmation", "sealed"} & {*line["seconds"]}
    rows = [row.split()[0] for row in shown[2:6]]
    assert rows == ["start", "1", "2", "last"] and {"confirmation", "sealed"} <= {*folder.finished(2)}
    assert runs_in(tmp_path) == [root]
    both = [replace(one, run=f"runs/{number}") for number, one in enumerate((done, during))]
    assert all(len(line) <= 100 for line in status_text.table(both, done.written + 3))
    narrow = status_text.table([done], done.written + 3, 20)  # the recipe and the last write are left out
    assert narrow[0].split() == ["run", "state", "round", "score", "gain"]
    assert all(len(line) <= 80 for line in status_text.page(done, done.written, 80)[:7])

    folder.begin(3, "acquisition")  # a resume with more rounds was killed
    again = status_of(root)
    assert (again.state, again.round) == ("stopped", 3) and again.commands == [f"selfimprove resume {root}"]


def test_a_run_that_waits_for_an_answer_says_so(make_run: Callable[..., Any]) -> None:
    folder, log = make_run("autonomy=1", "gate_problems=20")
    with pytest.raises(WaitingError):
        Runner(folder, log).run()
    now = status_of(folder.root)
    assert (now.state, now.code, now.round) == ("waits", 4, 1)
    assert [command.split()[-1] for command in now.commands] == ["--approve", "--reject"]
    assert "waits for your answer" in status_text.page(now, now.written)[0]


def test_a_damaged_line_that_says_how_far_a_run_goes_is_named(make_run: Callable[..., Any]) -> None:
    folder, _ = make_run()
    path = folder.root / "ledger.jsonl"
    path.write_text('{"round": 0, "step": "plan", "rounds": 7}\n{"round": 1, "step": "gate", "rounds": 9')
    assert status_of(folder.root).rounds == 7  # the last line is still being written
    path.write_text('{"round": 0, "step": "plan", "rounds": "many"}\n')
    with pytest.raises(DataError, match="the ledger was changed"):
        status_of(folder.root)


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="is not a run folder"):
        status_of(tmp_path)
    assert runs_in(tmp_path / "none") == []


def test_names_of_rounds_that_are_no_numbers_are_passed_over(tmp_path: Path) -> None:
    for name in ("round_002", "round_\u00b2", "round_\uff11\uff11\uff11", "round_9999999", "round_", "round_-01"):
        (tmp_path / name).mkdir()
    assert rounds_in(tmp_path) == [2] and newest_round(tmp_path) == 2


def test_the_holder_is_found_without_taking_the_lock(make_run: Callable[..., Any]) -> None:
    folder, _ = make_run()
    assert holder(folder.root, 0.0) is None
    with folder.lock():
        found = holder(folder.root, 0.0)
        assert found and found.alive and found.pid == os.getpid()
    found = holder(folder.root, 0.0)
    assert found and not found.alive
    (folder.root / "LOCK").write_text("pid 12 on some-other-host since 2026-01-01 00:00:00 UTC\n")
    assert [holder(folder.root, at).alive for at in (0.0, 1e12)] == [False, True]  # type: ignore[union-attr]


def test_the_last_lines_are_read_from_the_end_and_a_torn_one_is_left_out(make_run: Callable[..., Any]) -> None:
    folder, _ = make_run()
    path = folder.root / "metrics.jsonl"
    lines = [json.dumps({"round": number, "fill": "x" * 5000}) for number in range(40)]
    path.write_text("\n".join([*lines, '{"round": 40, "fi']))
    assert [line["round"] for line in last_lines(folder, 3)] == [37, 38, 39]
    assert len(last_lines(folder, 1000)) == 40


def test_counting_bytes_ends_early_in_a_long_run(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"round_{number:03d}" / "gate").mkdir(parents=True)
        (tmp_path / f"round_{number:03d}" / "gate" / "step.json").write_bytes(b"x" * 1000)
    (tmp_path / "LOCK").write_bytes(b"x" * 7)
    assert disk.used(tmp_path, allowed=10.0) == disk.used(tmp_path, allowed=-1.0) == 5007
