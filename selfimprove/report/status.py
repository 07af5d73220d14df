"""The state of a run that goes, waits, was stopped or is done, from its files alone.

Nothing is locked, written or composed, so it can be asked at any time, also for a run on another machine with a shared
disk. The stage comes from the folder of the step in progress; its count from `progress.json`, if that is of the same
step.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.foreign.bounded_json import parsed
from selfimprove.loop import progress, shapes
from selfimprove.loop.origin import began
from selfimprove.report.disk import used
from selfimprove.report.holder import Holder, holder
from selfimprove.report.lines import last_lines, seconds
from selfimprove.report.rows import confirmation
from selfimprove.report.time_left import Left, left
from selfimprove.store.run_folder import RunDir
from selfimprove.store.run_place import is_run
from selfimprove.store.shape import read, require

READ = 60
"""Rounds that are read, the last of those that are finished, because the decisions before a round count."""
SHOWN = 10
"""Rounds that are shown."""
SILENT = 600.0
"""Seconds without a write after which a run that is held counts as silent."""
CODES = {"done": 0, "waits": 4, "running": 75, "silent": 75, "stopped": 3}
"""State -> exit code of `selfimprove status RUN`."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """What can be said of a run."""

    run: str
    """Its folder, as it was named."""
    recipe: str
    seed: int
    state: str
    """A key of `CODES`."""
    round: int
    """The round in progress; of a run that is done or waits, its last one."""
    rounds: int
    """How many are planned."""
    stage: str
    """The step in progress; "" if there is none."""
    progress: dict[str, Any]
    """The count of that step: done, total, unit, rate in units a second; {} if it is not known."""
    holder: dict[str, Any]
    """pid and host of the process that holds the run, or held it last, and whether it is alive; {} if nobody did."""
    written: float
    """When it last wrote, in seconds since 1970."""
    lines: Sequence[dict[str, Any]]
    """The last finished rounds, as in metrics.jsonl; those that are shown have `seconds`, and `last`, which is what
    `rows.confirmation` gives, if there was a test after the round."""
    sealed: dict[str, Any]
    """The result of the exam, as in summary.json; {} before it."""
    verdict: str
    """The outcome of the exam in one sentence; "" before it."""
    left: Left | None
    """What the run will take if rounds go on as the last ones did; None if nobody can tell."""
    disk: int
    """Bytes in the run folder, about."""
    free: int
    """Bytes that are free for it."""
    commands: Sequence[str] = field(default=())
    """What to type next."""

    @property
    def code(self) -> int:
        """The exit code."""
        return CODES[self.state]

    def plain(self) -> dict[str, Any]:
        """The status as JSON values."""
        said = {**asdict(self), "code": self.code}
        said["lines"] = [{name: value for name, value in line.items() if name != "diagnosis"} for line in said["lines"]]
        return said


def runs_in(folder: Path) -> list[Path]:
    """The run folders in a folder, the one that wrote last at the end."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if is_run(path)), key=lambda path: (written(path), path.name))


def status_of(root: Path) -> Status:
    """The state of a run.

    Raises:
        MissingError: there is no run in the folder.
        DataError: a file of it is damaged.
    """
    run = RunDir.open(root)
    settings, last = began(run), written(root)
    entries = _said(root / "ledger.jsonl")
    planned = [entry["rounds"] for entry in entries if "rounds" in entry]
    rounds = planned[-1] if planned else _whole(settings["settings"].get("rounds"))
    newest = newest_round(root)
    summary, who = _summary(root), holder(root, last)
    lines = [line for line in last_lines(run, READ, timed=SHOWN) if line["round"] <= newest]
    for line in lines[-SHOWN:]:
        if test := confirmation(root, line["round"], settings["settings"].get("autonomy", 3)):
            line["last"] = test
    asked = _asked(run, settings["settings"], entries, newest)
    done = bool(summary) and newest <= summary["rounds"] and not _in_work(root, newest)
    alive = who is not None and who.alive
    if alive:
        state = "silent" if time.time() - last > SILENT else "running"
    else:
        state = "waits" if asked else "done" if done else "stopped"
    stage, number = ("", newest) if state in ("done", "waits") else _stage(run, newest, rounds, lines)
    return Status(
        run=str(root),
        recipe=str(settings.get("recipe", "")),
        seed=_whole(settings["settings"].get("seed")),
        state=state,
        round=asked or number,
        rounds=max(rounds, number),
        stage=stage,
        progress=_count(root, number, stage) if alive else {},
        holder=asdict(who) if isinstance(who, Holder) else {},
        written=last,
        lines=lines,
        sealed=summary.get("sealed", {}) if state == "done" else {},
        verdict=summary.get("verdict", "") if state == "done" else "",
        left=_left(run, lines, number, rounds, settings["settings"]) if alive else None,
        disk=used(root),
        free=shutil.disk_usage(root).free,
        commands=_commands(root, state),
    )


def rounds_in(root: Path) -> list[int]:
    """The numbers of the round folders, which need not be all of them; other names are not those of a run."""
    with os.scandir(root) as found:
        return sorted(int(one.name[6:]) for one in found if re.fullmatch("round_[0-9]{3,6}", one.name))


def newest_round(root: Path) -> int:
    """The number of the newest round folder; 0 if there is none."""
    return max(rounds_in(root), default=0)


def written(root: Path) -> float:
    """When a run last wrote something, in seconds since 1970."""
    newest = root / f"round_{newest_round(root):03d}"
    parts = [root / name for name in (progress.FILE, "metrics.jsonl", "ledger.jsonl", "environment.json")]
    inside = [path for path in _listed(newest) if path.name.startswith(".") or path.is_dir()]
    parts += [newest, *inside, *(file for path in inside if path.name.startswith(".") for file in _listed(path))]
    return max((_time(path) for path in parts), default=0.0)


def _listed(folder: Path) -> list[Path]:
    try:
        return [] if folder.is_symlink() else list(folder.iterdir())
    except OSError:  # it was just finished and renamed
        return []


def _time(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _said(path: Path) -> list[dict[str, Any]]:
    """The lines of the ledger that say how many rounds are planned or what a person answered. Whoever goes on with the
    run, examines or verifies it checks the chain of all lines; of 1,000 rounds that takes longer than all else here.

    Raises:
        DataError: one of them is damaged.
    """
    if not os.path.lexists(path):
        return []
    found = list[dict[str, Any]]()
    for line in foreign.content(path).split(b"\n")[:-1]:
        if b'"rounds"' in line or b'"approved"' in line:
            try:
                entry = parsed(line)
                whole = isinstance(entry, dict) and type(entry["round"]) is int and type(entry["step"]) is str
                whole = whole and type(entry.get("rounds", 0)) is int
            except (ValueError, LookupError, RecursionError):
                entry, whole = {}, False
            if not whole:
                raise DataError(f"{path}: the ledger was changed. Restore the file, or start a new run")
            found.append(entry)
    return found


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _summary(root: Path) -> dict[str, Any]:
    """summary.json of a finished run without its rounds, which are megabytes in a long run; {} if there is none yet."""
    path = root / "summary.json"
    if not os.path.lexists(path):
        return {}
    head, rounds, _ = foreign.content(path).partition(b',\n "per_round": [')
    if not rounds:
        return read(path, shapes.SUMMARY, f"Make it again: selfimprove resume {root}")
    try:
        found = parsed(head + b"}")
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}. Make it again: selfimprove resume {root}") from error
    require(found, shapes.SUMMARY, path, f"Make it again: selfimprove resume {root}")
    return found


def _asked(run: RunDir, settings: dict[str, Any], entries: Sequence[dict[str, Any]], newest: int) -> int:
    """The round whose proposal waits for a person's answer; 0 for none. See `Stored.waiting`."""
    if settings.get("autonomy") != 1:
        return 0
    answered = {(entry["round"], entry["step"]) for entry in entries if "approved" in entry}
    for number in [one for one in rounds_in(run.root) if 1 <= one <= newest]:
        steps = run.finished(number)
        for finished, step in (("controller", "gate"), ("confirmation", "confirmation")):
            if finished in steps and (number, step) not in answered:
                return number
    return 0


def _in_work(root: Path, newest: int) -> bool:
    """Whether a step of a round was begun and not finished."""
    return any(path.name.endswith(".partial") for path in _listed(root / f"round_{newest:03d}"))


def _stage(run: RunDir, newest: int, rounds: int, lines: Sequence[dict[str, Any]]) -> tuple[str, int]:
    """The step in progress, and its round."""
    parts = [path for path in _listed(run.step(newest, "")) if path.name.endswith(".partial")]
    if parts:
        latest = max(parts, key=_time)
        return latest.name.removeprefix(".").removesuffix(".partial"), newest
    said = progress.read(run.root)
    if said and (said["round"], said["stage"]) >= (newest, "") and said["stage"] not in run.finished(said["round"]):
        return said["stage"], said["round"]
    finished = bool(lines) and lines[-1]["round"] >= newest
    return "", min(newest + 1, rounds) if finished else newest


def _count(root: Path, number: int, stage: str) -> dict[str, Any]:
    said = progress.read(root)
    if not said or (said["round"], said["stage"]) != (number, stage):
        return {}
    return {name: said[name] for name in ("done", "total", "unit", "rate", "time")}


def _left(
    run: RunDir, lines: Sequence[dict[str, Any]], number: int, rounds: int, settings: dict[str, Any]
) -> Left | None:
    finished = any(line["round"] == number for line in lines)
    spent = {} if finished else seconds(run, number)
    return left(lines, max(0, rounds - number + (not finished)), spent, settings)


def _commands(root: Path, state: str) -> list[str]:
    match state:
        case "done":
            return [f"selfimprove report {root} --html", f"selfimprove samples {root}"]
        case "waits":
            return [f"selfimprove resume {root} --approve", f"selfimprove resume {root} --reject"]
        case "stopped":
            return [f"selfimprove resume {root}"]
        case _:
            return [f"selfimprove status {root} --watch"]
