"""The status of a run, or of all runs in a folder, as lines for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfimprove.records import measured
from selfimprove.report import rows
from selfimprove.report.bar import STAGES
from selfimprove.report.letters import WIDEST
from selfimprove.report.makers import makers
from selfimprove.report.status import SHOWN, Status, status_of
from selfimprove.safety.weight_files import in_bytes
from selfimprove.store.run_place import is_run


def plain_stage(step: str) -> str:
    """A step in plain words: `training`; of a leg `training (propose)`."""
    stage, _, leg = step.partition(".")
    return STAGES.get(stage, stage) + (f" ({leg})" if leg else "")


def span(seconds: float) -> str:
    """A time in words: `12 s`, `7 min`, `3 h 10 min`, `2 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600:.0f} h {seconds % 3600 / 60:.0f} min"
    return f"{seconds / 86400:.0f} days"


def state(status: Status, now: float) -> str:
    """The state in a few words."""
    match status.state:
        case "done":
            return "done" if _gain(status) else "done, no gain"
        case "waits":
            return "waits for your answer"
        case "stopped":
            return f"stopped in round {status.round}"
        case "silent":
            return f"silent since {span(now - status.written)}"
        case _:
            count = status.progress
            counted = f" {count['done']:,}/{count['total']:,}" if count and count["total"] else ""
            return (plain_stage(status.stage) or "between steps") + counted


def _gain(status: Status) -> bool:
    return bool(status.sealed) and not status.verdict.startswith("no significant gain")


def table(found: Sequence[Status], now: float, columns: int = WIDEST) -> list[str]:
    """One row for each run; one that needs somebody gets the command in a second line.

    In fewer columns than it takes, the recipe, and then the last write, are left out.
    """
    cells: list[tuple[str, ...]] = [("run", "recipe", "state", "round", "score", "gain", "last write")]
    more = dict[int, list[str]]()
    for one in found:
        score, gain = _score(one)
        ago = f"{span(now - one.written)} ago" if one.written else "-"
        cells.append((one.run, one.recipe, state(one, now), f"{one.round}/{one.rounds}", score, gain, ago))
        if one.state in ("stopped", "waits"):
            more[len(cells) - 1] = [one.commands[0] + ("   or   --reject" if one.state == "waits" else "")]
    for head in ("recipe", "last write"):
        if max(len("  ".join(row)) for row in _even(cells)) > columns:
            place = cells[0].index(head)
            cells = [(*row[:place], *row[place + 1 :]) for row in cells]
    even = _even(cells)
    lines = list[str]()
    before = "  ".join(even[0][: cells[0].index("state")])
    for number, row in enumerate(even):
        lines.append("  ".join(row).rstrip())
        lines += [" " * (len(before) + 2) + text for text in more.get(number, ())]
    return lines


def _even(cells: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """The cells, each as wide as the widest of its column."""
    wide = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    return [[cell.ljust(width) for cell, width in zip(row, wide, strict=True)] for row in cells]


def _score(status: Status) -> tuple[str, str]:
    if sealed := status.sealed:
        if not sealed["champion_round"]:
            return f"{sealed['start']:.3f}", "-"
        gain = f"{100 * sealed['delta']:+.1f}"
        return f"{sealed['start']:.3f} -> {sealed['champion']:.3f}", gain
    line = status.lines[-1] if status.lines else {}
    scores = [measured(line, who) for who in ("champion", "candidate")]
    said = " -> ".join(f"{score['value']:.2f}" for score in scores if score)
    return (f"gate {said}" if said else "-"), "-"


def page(status: Status, now: float, columns: int = WIDEST) -> list[str]:
    """What `selfimprove status RUN` prints."""
    lines = [f"{status.recipe}, seed {status.seed}   {_where(status, now)}"]
    if status.lines:
        lines += [*rows.head(columns), *_rows(status, columns)]
    if status.stage and status.state != "done":
        lines.append(f"{status.round:>5}  {plain_stage(status.stage)}{_counted(status.progress)}")
    lines.append("")
    if status.verdict:
        lines.append(f"result  {status.verdict}")
    if status.left is not None:
        rounds, exam = status.left.rounds, status.left.exam
        said = f"{span(rounds)} for the rounds, as long as the last ones took, and {span(exam)} for the exam"
        lines.append(
            f"left    about {span(rounds + exam)}: {said}" if rounds else f"left    about {span(exam)}: the exam"
        )
    lines.append(f"disk    {in_bytes(status.disk)} in the run folder, {in_bytes(status.free)} free")
    lines.append(f"alarms  {_alarms(status.lines)}")
    lines += [f"{'next' if not number else '':<8}{command}" for number, command in enumerate(status.commands)]
    return lines


def _where(status: Status, now: float) -> str:
    ago = f"last write {span(now - status.written)} ago"
    if status.state in ("running", "silent"):
        who = f"pid {status.holder['pid']} on {status.holder['host']}, alive" if status.holder["host"] else "alive"
        silent = ", silent" if status.state == "silent" else ""
        return f"round {status.round} of {status.rounds}   {who}{silent}, {ago}"
    where = f"{state(status, now)} of {status.rounds}" if status.state == "stopped" else state(status, now)
    return f"{where}   {ago}"


def _counted(count: dict[str, Any]) -> str:
    if not count or not count["total"]:
        return ""
    rate = f", {count['rate']:.3g}/s" if count["rate"] else ""
    left = f", {span((count['total'] - count['done']) / count['rate'])} left" if count["rate"] else ""
    filled = min(24, 24 * count["done"] // count["total"])
    return f"  [{'#' * filled:<24}] {count['done']:,}/{count['total']:,} {count['unit']}".rstrip() + rate + left


def _rows(status: Status, columns: int) -> list[str]:
    """The last rounds as rows of the table of `run`, with the tests after a last round."""
    made = list[rows.Row]()
    tests = {line["round"]: line["last"]["decision"] for line in status.lines if "last" in line}
    for line, now in makers(status.lines, tests):
        made.append(rows.of_round(line, now.trial or 0))
        if test := line.get("last"):
            name = "last" if line is status.lines[-1] else "again"
            made.append(rows.of_test({**test, "trial": rows.after(line, now.trial or 0), "name": name}))
    return [str(text).rstrip() for row in made[-SHOWN:] for text in rows.lines(row, columns, False)]


def _alarms(lines: Sequence[dict[str, Any]]) -> str:
    n = sum(len(line.get("alerts", ())) for line in lines)
    since = "" if lines and lines[0]["round"] <= 1 else f" in the last {len(lines)} rounds"
    return f"{n or 'none'}{since}"


def unfinished(root: Path, now: float) -> str:
    """What to say of a run that is not done, with the command to type; "" of one that is, and of what is no run."""
    if not is_run(root):
        return ""
    found = status_of(root)
    if found.state == "done":
        return ""
    return f"{root} is not finished, {state(found, now)}. To go on: {found.commands[0]}"
