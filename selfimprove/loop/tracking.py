"""The metrics of each round: metrics.jsonl, and the same for a tracker.

What is on disk is the truth: a tracker gets copies. tracker.json has how far they were sent, so a tracker that was down
is filled later, and a resumed run continues its curves.
"""

from __future__ import annotations

import json
import math
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.interfaces import Tracked, Tracker
from selfimprove.loop import stages
from selfimprove.loop.history import Stored
from selfimprove.measures.statistics import Z95
from selfimprove.safety.redaction import redact, shown
from selfimprove.store import durable
from selfimprove.store.seal import TIMES, write_json, write_text

SENT = "tracker.json"
"""How far a run was sent to its tracker."""
LONGEST = 1_000_000
"""Most places of a curve that are read."""


class MetricsFile:
    """metrics.jsonl, one line per finished round; it is derived from the steps, so it can always be written again.

    A line is appended if the file is as this process left it; otherwise, also after a truncated line, the whole file is
    written again. After each call the file has complete lines of all rounds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rounds, self._state = 0, _state(path)

    def write(self, number: int, line: Callable[[int], dict[str, Any]]) -> None:
        """Make the file contain exactly the lines of all rounds up to this one; `line` gives the line of a round."""
        if self._rounds == number > 0 and self._state and _state(self.path) == self._state:
            durable.append(self.path, redact(_text(line(number))).encode())
        else:
            write_text(self.path, "".join(_text(line(past)) for past in range(number + 1)))
        self._rounds, self._state = number + 1, _state(self.path)


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line) + "\n"


def _state(path: Path) -> tuple[int, int, int] | None:
    """Metadata that changes with the content of a file; None if there is no regular file of one name."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # a hard link may be a snapshot, which must not change
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class Tracking:
    """Sends finished rounds to a tracker, each once."""

    def __init__(self, stored: Stored, name: str, tracker: Tracker, say: Callable[[str], None]) -> None:
        """Args:
        name: of the tracker, in messages.
        say: shows a line.
        """
        self._stored, self._name, self._tracker, self._say = stored, name, tracker, say
        self._path, self._state = stored.folder.root / SENT, dict[str, Any]()
        self._begun = self._down = False
        self._referred: int | None = None  # the round whose champion was shown

    @classmethod
    def of(cls, stored: Stored, say: Callable[[str], None]) -> Tracking:
        """With the tracker of the run's recipe."""
        [(name, tracker)] = stored.recipe.tracker.items()
        return cls(stored, name, tracker, say)

    def again(self) -> None:
        """Send everything anew, as another run of the tracker."""
        durable.remove(self._path)

    def send(self, last: int) -> int:
        """Send the rounds up to this one that were not sent; returns how many.

        A tracker that fails is told of in one line, and gets nothing more in this process.
        """
        if self._down or self._name == "none":
            return 0
        try:
            self._begin()
            first = int(self._state["rounds"])
            for number in range(first, last + 1):
                self._round(number)
                self._state["rounds"] = number + 1
                write_json(self._path, self._state)
            return max(0, last + 1 - first)
        except Exception as error:  # a dashboard must not end a run
            self._down = True
            said = " ".join(shown(str(error)).split())[:200] or type(error).__name__
            root = self._stored.folder.root
            self._say(f"tracker {self._name} is down: {said}. Nothing is lost; fill it: selfimprove track {root}")
            return 0

    def end(self) -> None:
        """End the session."""
        if self._begun and not self._down:
            with suppress(Exception):
                self._tracker.end()

    def _begin(self) -> None:
        if self._begun:
            return
        root, state = self._stored.folder.root, read(self._path)
        resumed = state.get("tracker") == self._name
        self._state = state if resumed else {"tracker": self._name, "id": secrets.token_hex(6), "rounds": 0, "steps": 0}
        name = root.resolve().name
        run = Tracked(
            id=self._state["id"],
            name=name,
            folder=root,
            settings=self._stored.settings,
            resumed=resumed,
        )
        self._tracker.begin(run)
        self._begun = True

    def _round(self, number: int) -> None:
        for stage in (one for one in self._stored.steps(number) if stages.stage_of(one).trains):
            before = reached = int(self._state["steps"])
            for place, values in curve(self._stored.folder.step(number, stage)):
                reached = before + place
                self._tracker.log("train/global_step", reached, values)
            self._state["steps"] = reached
        line = self._stored.line(number)
        seconds = {f"seconds/{stage}": took for stage, took in self._stored.seconds(number).items()}
        self._tracker.log("round", number, {**numbers(line), **seconds})
        for alert in line.get("alerts", ()):
            self._tracker.alert(number, f"round {number}: {alert['alarm']}", shown(alert["text"]), alert["level"])
        made = self._stored.standing(number + 1).champion
        if made != self._referred:
            self._referred, stage = made, "optimization" if made else "model"
            for name, entry in self._stored.folder.manifest(made, stage)["files"].items():
                if name.endswith(".safetensors"):
                    self._tracker.refer("champion", self._stored.folder.step(made, stage) / name, entry["sha256"])


def numbers(line: dict[str, Any]) -> dict[str, float]:
    """The numbers in a line of metrics.jsonl; a metric with an interval gives its standard error too, as in lm-eval."""
    found = dict[str, float]()
    for name, value in line.items():
        if isinstance(value, dict) and {"value", "low", "high"} <= value.keys():
            found[name] = float(value["value"])
            found[f"{name}_stderr"] = (value["high"] - value["low"]) / 2 / Z95
        elif name != "round" and (type(value) is int or (type(value) is float and math.isfinite(value))):
            found[name] = float(value)
    return found


def curve(step: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """The curve that a step of training noted: the number of a training step, and numbers there."""
    with suppress(OSError, DataError):
        noted = foreign.json_in(step / TIMES)
        rows = noted.get("curve") if isinstance(noted, dict) else None
        for row in rows[:LONGEST] if isinstance(rows, list) else []:
            place = row.get("step") if isinstance(row, dict) else None
            if (type(place) is int or type(place) is float) and 0 <= place < 1e12:
                values = {str(name): value for name, value in row.items() if name != "step"}
                yield int(place), {name: float(one) for name, one in values.items() if type(one) in (int, float)}


def read(path: Path) -> dict[str, Any]:
    """tracker.json; {} if there is none, or if it is not one: then everything is sent anew."""
    try:
        found = foreign.json_in(path)
    except (OSError, DataError):
        return {}
    kinds = {"tracker": str, "id": str, "rounds": int, "steps": int}
    fits = isinstance(found, dict) and all(type(found.get(name)) is kind for name, kind in kinds.items())
    return found if fits and found["rounds"] >= 0 and found["steps"] >= 0 else {}
