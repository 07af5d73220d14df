"""metrics.jsonl grows by a line, and is made again where it is not as it was left."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from selfimprove.interfaces import Tracked, Tracker
from selfimprove.loop import tracking
from selfimprove.loop.history import Stored
from selfimprove.loop.loop import Runner
from selfimprove.loop.tracking import MetricsFile, Tracking
from selfimprove.store import durable


def line(number: int) -> dict[str, Any]:
    return {"round": number, "accuracy": number / 7}


def expected(rounds: int) -> str:
    return "".join(json.dumps(line(number)) + "\n" for number in range(rounds))


def test_a_line_is_added_and_only_that_line_is_made(tmp_path: Path) -> None:
    file, made = MetricsFile(tmp_path / "metrics.jsonl"), list[int]()
    for number in range(4):
        file.write(number, lambda past: made.append(past) or line(past))
        assert file.path.read_text() == expected(number + 1)
    assert made == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text(path.read_text()[:-9]),
        lambda path: path.write_text(path.read_text() + "{}\n"),
        lambda path: os.truncate(path, 0),
        lambda path: (path.rename(path.with_name("away")), path.symlink_to(path.with_name("away"))),
    ],
)
def test_a_file_that_is_not_as_it_was_left_is_made_again(tmp_path: Path, harm: Any) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.write(0, line)
    file.write(1, line)
    harm(file.path)
    file.write(2, line)
    assert file.path.read_text() == expected(3) and not file.path.is_symlink()


def test_a_file_that_another_process_wrote_is_made_again_and_may_get_shorter(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(expected(9))
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.write(3, line)
    assert file.path.read_text() == expected(4)
    file.write(3, line)
    assert file.path.read_text() == expected(4)


def test_a_line_that_could_not_be_written_whole_is_not_built_upon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, append = MetricsFile(tmp_path / "metrics.jsonl"), durable.append
    file.write(0, line)

    def torn(path: Path, data: bytes) -> None:
        append(path, data[:5])
        raise OSError

    monkeypatch.setattr(durable, "append", torn)
    with pytest.raises(OSError):
        file.write(1, line)
    monkeypatch.setattr(durable, "append", append)
    file.write(1, line)
    file.write(2, line)
    assert file.path.read_text() == expected(3)


# ---- trackers --------------------------------------------------------------------------------------------------------
@dataclass
class Heard(Tracker):
    """Keeps what it is sent; is down from the call on that `fails` names."""

    fails: str = ""
    sent: list[Any] = field(default_factory=list)

    def _take(self, *what: Any) -> None:
        if what[0] == self.fails:
            raise ConnectionError("no route\nto host")
        self.sent.append(what)

    def begin(self, run: Tracked) -> None:
        self._take("begin", run.id, run.resumed)

    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None:
        self._take(axis, step, dict(values))

    def alert(self, step: int, title: str, text: str, level: int) -> None:
        self._take("alert", step, title, level)

    def refer(self, name: str, path: Path, sha256: str) -> None:
        self._take("refer", name, path.name, sha256)

    def end(self) -> None:
        self._take("end")


@pytest.mark.long
def test_a_tracker_gets_each_round_once_and_a_later_session_goes_on(make_run: Any) -> None:
    run, log = make_run("rounds=2", "gate_problems=30", "sealed_problems=10", "control_problems=0", "audit_problems=0")
    Runner(run, log).run()
    assert not (run.root / "tracker.json").exists()  # without a tracker nothing is kept of one
    for number in (1, 2):
        times = run.root / f"round_{number:03d}" / "optimization" / "timing.json"
        rows = [{"step": step, "train/loss": 1 / step, "odd": "x"} for step in (10, 20)]
        times.write_text(json.dumps({"seconds": 1.0, "curve": rows}))
    stored, notes = Stored(run), list[str]()
    first = Heard()
    assert Tracking(stored, "heard", first, notes.append).send(0) == 1
    (_, name, resumed), (axis, step, values) = first.sent
    assert (axis, step, resumed) == ("round", 0, False)
    line = json.loads((run.root / "metrics.jsonl").read_text().splitlines()[0])
    assert values["champion/accuracy"] == line["champion/accuracy"]["value"] and "seconds/evaluation" in values
    broken = Heard("round")
    down = Tracking(stored, "heard", broken, notes.append)
    assert down.send(2) == 0 and down.send(2) == 0 and len(notes) == 1  # told once
    assert "tracker heard is down: no route to host. Nothing is lost; fill it: selfimprove track" in notes[0]
    second = Heard()
    session = Tracking(stored, "heard", second, notes.append)
    assert session.send(2) == 2 and session.send(2) == 0
    session.end()
    assert second.sent[0] == ("begin", name, True) and second.sent[-1] == ("end",)
    curves = [(step, values) for axis, step, values in (one for one in second.sent if one[0] == "train/global_step")]
    assert [step for step, _ in curves] == [10, 20, 30, 40] and curves[0][1] == {"train/loss": 0.1}
    assert [one[1] for one in second.sent if one[0] == "round"] == [1, 2] and len(notes) == 1
    anew = Tracking(stored, "heard", Heard(), notes.append)
    anew.again()
    assert anew.send(2) == 3


def test_the_numbers_of_a_line_and_of_a_curve_are_numbers(tmp_path: Path) -> None:
    metric = {"value": 0.5, "low": 0.5 - tracking.Z95 / 10, "high": 0.5 + tracking.Z95 / 10, "n": 9}
    found = tracking.numbers(
        {"round": 3, "candidate/accuracy": metric, "selection/kept": 7, "alerts": [], "x": float("nan")}
    )
    assert found == {"candidate/accuracy": 0.5, "candidate/accuracy_stderr": pytest.approx(0.1), "selection/kept": 7.0}
    for text in (
        "{",
        "[]",
        '{"curve": 3}',
        '{"curve": [3, {"step": "x"}, {"step": -1}, {"step": 5, "a": 1, "b": "c"}]}',
    ):
        (tmp_path / "timing.json").write_text(text)
        assert list(tracking.curve(tmp_path)) == ([(5, {"a": 1.0})] if "step" in text else [])
    for text in ("{", "[]", '{"tracker": "a", "id": "b", "rounds": -1, "steps": 0}', '{"rounds": 1}'):
        (tmp_path / "tracker.json").write_text(text)
        assert tracking.read(tmp_path / "tracker.json") == {}
