"""The lines of metrics.jsonl, of all rounds or of the last few only, with the seconds of each step."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.loop import shapes
from selfimprove.store.run_folder import RunDir
from selfimprove.store.shape import METRIC, misfit

PORTION = 1 << 16


AFTERWARDS = ("confirmation", "null", "sealed")
"""Steps in the folder of a last round that are not of the round."""


def last_lines(run: RunDir, most: int, timed: int | None = None) -> list[dict[str, Any]]:
    """The lines of the last finished rounds, in order, each with `seconds`; the file is read from its end.

    A line that is still being written is left out.

    Args:
        timed: how many of the last ones get `seconds`, which lie in a file for each step; None: all.

    Raises:
        DataError: a line is not that of a round, or the file is no regular file.
    """
    path = run.root / "metrics.jsonl"
    try:
        handle, size = foreign.sized(path)
    except FileNotFoundError:
        return []
    tail = b""
    try:
        while size and tail.count(b"\n") <= most:
            begin = max(0, size - max(PORTION, len(tail)))
            tail = os.pread(handle, size - begin, begin) + tail
            size = begin
            if len(tail) > foreign.LARGEST:
                raise DataError(f"{path} is damaged: its last lines are too long")
    finally:
        os.close(handle)
    whole = tail.rpartition(b"\n")[0].split(b"\n") if tail else []
    found = [_line(run, path, raw) for raw in whole[-most:] if raw]
    for line in found if timed is None else found[-timed:]:
        line["seconds"] = seconds(run, line["round"])
    return found


def _line(run: RunDir, path: Path, raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
        wrong = misfit(found, shapes.LINE) or wrong_score(found)
    except (ValueError, RecursionError) as error:
        found, wrong = {}, str(error)
    if wrong:
        raise DataError(f"{path} is damaged: {wrong}. Write it again: selfimprove resume {run.root}")
    return found


def wrong_score(line: dict[str, Any]) -> str:
    """What is wrong with the scores or counts of a round's line, in words; "" if nothing."""
    measure = line.get("measure", "accuracy")
    scores = [line[place] for who in ("champion", "candidate") if (place := f"{who}/{measure}") in line]
    wrong = next((wrong for score in scores if (wrong := misfit(score, METRIC))), "")
    return f"a score{wrong}" if wrong else "it has a number below 0" if line["round"] < 0 else ""


def seconds(run: RunDir, number: int) -> dict[str, float]:
    """Seconds of each finished step of a round, in alphabetical order of the steps."""
    return {step: run.seconds(number, step) for step in sorted(run.finished(number)) if step not in AFTERWARDS}
