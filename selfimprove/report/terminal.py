"""What a person sees of a run: live progress with rate and time left, a line per round, a table at the end."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from selfimprove.records import VERDICTS, measured
from selfimprove.safety.redaction import shown

SHOWN = 100
"""Rounds that the table after a run has at most."""


def short(metric: dict[str, Any] | None) -> str:
    """`0.693 ±0.029`, for narrow columns: half the width of the interval; or a dash."""
    return f"{metric['value']:.3f} ±{(metric['high'] - metric['low']) / 2:.3f}" if metric else "-"


def interval(metric: dict[str, Any] | None) -> str:
    """`0.693 [0.664, 0.721]`, or a dash."""
    return f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]" if metric else "-"


def spoken(decision: dict[str, Any]) -> str:
    """A decision in one word; a star where the incumbent became champion as well."""
    return decision["verdict"] + "*" * decision.get("certified", False)


def diagnosed(diagnosis: dict[str, Any]) -> str:
    """The diagnosis of a round in its line: what happened since the start, and the verdicts."""
    by: dict[str, list[str]] = {}
    for said in diagnosis.get("verdicts", ()):
        by.setdefault(said["name"], []).extend([said["by"]] if said["by"] else [])
    told = [diagnosis["change"]] if diagnosis.get("change") else []
    told += [f"{name} by {', '.join(scores)}" if scores else name for name, scores in by.items()]
    return f"diagnosis: {'; '.join(told)}  " if told else ""


class _Clock:
    """How fast each unit of a step goes: a step may train and sample in turn, and each counts its own time."""

    def __init__(self) -> None:
        self.began, self.done, self.seconds = dict[str, int](), dict[str, int](), dict[str, float]()
        self.last = time.monotonic()

    def rate(self, done: int, unit: str, now: float) -> float:
        """Units per second since this unit's count last began anew; 0 at its first report."""
        if done <= self.done.get(unit, done):
            self.began[unit], self.seconds[unit] = done, 0.0
        else:
            self.seconds[unit] += now - self.last
        self.done[unit], self.last = done, now
        return (done - self.began[unit]) / self.seconds[unit] if self.seconds[unit] else 0.0


class Screen:
    """Shows a run as it goes; made for a terminal, readable in a log file."""

    def __init__(self, console: Console, baseline: dict[str, Any] | None = None) -> None:
        self.console = console
        self.baseline = baseline
        self.label, self.shown = "", 0.0
        self.clock = _Clock()
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task: TaskID | None = None

    def __enter__(self) -> Screen:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def step(self, number: int, stage: str) -> None:
        """A step begins."""
        self.label, self.shown, self.clock = f"round {number} {stage}", time.monotonic(), _Clock()
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(self.label, total=None, rate="")

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """How far the step is."""
        now = time.monotonic()
        speed = self.clock.rate(done, unit, now)
        rate = f"{speed:.0f} {unit}/s" if speed else ""
        if self.task is not None:
            self.bar.update(self.task, completed=done, total=total, rate=rate)
        if not self.console.is_terminal and now - self.shown > 10:
            self.shown = now
            left = f", {rate}, {(total - done) / speed:.0f} s left" if speed else ""
            self._say(f"{self.label}: {done}/{total} {unit}{left}")

    def metric(self, name: str, value: float) -> None:
        """A number of the step; it goes to the files, not to the screen."""

    def note(self, text: str) -> None:
        """A remark worth a line."""
        self._say(f"{self.label}: {text}" if self.label else text)

    def round(self, line: dict[str, Any]) -> None:
        """A round is finished."""
        self._say(self.describe(line))

    def describe(self, line: dict[str, Any]) -> str:
        """One finished round in one line."""
        seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in line["seconds"].items() if value >= 0.05)
        if line["round"] == 0:
            self.baseline = measured(line, "champion")
            return f"round 0  start {interval(self.baseline)}  {diagnosed(line['diagnosis'])}seconds: {seconds}"
        kept = f"kept {line['selection/kept']} of {line['selection/given']}"
        precision = line.get("selection/label_precision")
        labels = "" if precision is None else f", label precision {precision:.3f}"
        champion, candidate = (interval(measured(line, who)) for who in ("champion", "candidate"))
        return (
            f"round {line['round']}  baseline {interval(self.baseline)}  champion {champion}  "
            f"candidate {candidate}  {spoken(line['decision'])} "
            f"({line['decision']['reason']})  {kept}{labels}  {diagnosed(line['diagnosis'])}seconds: {seconds}"
        )

    def _say(self, text: str) -> None:
        self.console.print(shown(text), markup=False, emoji=False, highlight=False, soft_wrap=True)


def rounds_table(summary: dict[str, Any]) -> Table:
    """The rounds of a finished run side by side."""
    lines = summary["per_round"][-SHOWN:]
    starred = any(line.get("decision", {}).get("certified") for line in lines)
    notes = ["* the incumbent passed its test and is champion from here on"] if starred else []
    if len(lines) < len(summary["per_round"]):
        notes.append(f"the last {SHOWN} rounds; metrics.jsonl has all")
    table = Table(title=f"{summary['recipe']}, seed {summary['seed']}", caption="\n".join(notes) or None)
    for column in ("round", "champion", "candidate", "verdict", "kept", "labels right", "time"):
        table.add_column(column, justify="left" if column == "verdict" else "right", no_wrap=True)
    for line in lines:
        precision = line.get("selection/label_precision")
        table.add_row(
            str(line["round"]),
            short(measured(line, "champion")),
            short(measured(line, "candidate")),
            spoken(line["decision"]) if "decision" in line else "start",
            str(line.get("selection/kept", "")),
            "" if precision is None else f"{precision:.3f}",
            f"{sum(line['seconds'].values()):.1f} s",
        )
    return table


def sealed_table(summary: dict[str, Any]) -> Table:
    """What was measured on the sealed problems, start beside champion."""
    table = Table(title="sealed problems")
    for column in ("metric", "start", "champion"):
        table.add_column(column, justify="left" if column == "metric" else "right", no_wrap=True)
    start, champion = (summary["metrics"][who] for who in ("start", "champion"))
    for name in start:
        table.add_row(name, short(start[name]), short(champion[name]))
    return table


def closing(summary: dict[str, Any]) -> list[str]:
    """What the loop did, its alarms, and what the certificate covers."""
    loop, lines = summary["loop"], list[str]()
    counts = ", ".join(f"{loop[word]} {word}" for word in VERDICTS if loop[word])
    spent = f"; alpha {loop['alpha_spent']:.3g} of {loop['alpha']:.3g} spent" if loop["alpha"] is not None else ""
    lines.append(f"{loop['candidates']} candidates: {counts or 'none'}; {loop['certified']} certified{spent}")
    if loop["gate_minus_sealed"] is not None:
        lines.append(
            f"gate score of the champion minus its sealed score: {100 * loop['gate_minus_sealed']:+.1f} points"
        )
    lines += _controls(summary["sealed"]["controls"])
    for alert in loop["alerts"]:
        lines.append(f"round {alert['round']}, alarm {alert['alarm']}, level {alert['level']}: {alert['text']}")
    if loop["alpha"] is not None:
        lines.append(
            f"P(any false certificate in the run) <= {loop['alpha']:g}, for fresh gate problems of this task; "
            "see docs/evaluation.md for what that does not cover"
        )
    return lines


def _controls(found: dict[str, Any]) -> list[str]:
    """What the gain is compared with."""
    if not found:
        return []
    votes = f"the start with {found['samples']} votes a sealed problem (the loop drew {found['drawn']})"
    lines = [
        f"equal compute: {votes}: {short(found['votes'])}, the champion {short(found['champion'])}, "
        f"{_points(found['over_votes'])} (n = {found['problems']})"
    ]
    if "null" in found:
        lines.append(f"null round, the same training on shuffled rewards: {_points(found['null'])} against the start")
    return lines


def _points(metric: dict[str, Any]) -> str:
    """A difference of accuracies in points, with its interval."""
    value, low, high = (100 * metric[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"
