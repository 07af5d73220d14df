"""What a person sees of a run: live progress with rate and time left, a line per round, a table at the end."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from selfimprove.text import printable


def short(metric: dict[str, Any] | None) -> str:
    """`0.693 ±0.029`, for narrow columns: half the width of the interval; or a dash."""
    return f"{metric['value']:.3f} ±{(metric['high'] - metric['low']) / 2:.3f}" if metric else "-"


def interval(metric: dict[str, Any] | None) -> str:
    """`0.693 [0.664, 0.721]`, or a dash."""
    return f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]" if metric else "-"


class Screen:
    """Shows a run as it goes; made for a terminal, readable in a log file."""

    def __init__(self, console: Console, baseline: dict[str, Any] | None = None) -> None:
        self.console = console
        self.baseline = baseline
        self.label, self.unit, self.began, self.shown = "", "", time.monotonic(), 0.0
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
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
        self.label, self.began, self.shown = f"round {number} {stage}", time.monotonic(), time.monotonic()
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(self.label, total=None, rate="")

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """How far the step is."""
        now = time.monotonic()
        if unit != self.unit:  # a step may sample and train in turn; each has its own clock
            self.unit, self.began = unit, now
        rate = f"{done / max(1e-9, now - self.began):.0f} {unit}/s"
        if self.task is not None:
            self.bar.update(self.task, completed=done, total=total, rate=rate)
        if not self.console.is_terminal and now - self.shown > 10:
            self.shown = now
            left = (now - self.began) * (total - done) / max(1, done)
            self._say(f"{self.label}: {done}/{total} {unit}, {rate}, {left:.0f} s left")

    def metric(self, name: str, value: float) -> None:
        """A number of the step; it goes to the files, not to the screen."""

    def note(self, text: str) -> None:
        """A remark worth a line."""
        self._say(f"{self.label}: {text}")

    def round(self, line: dict[str, Any]) -> None:
        """A round is finished."""
        self._say(self.describe(line))

    def describe(self, line: dict[str, Any]) -> str:
        """One finished round in one line."""
        seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in line["seconds"].items() if value >= 0.05)
        if line["round"] == 0:
            self.baseline = line.get("champion/accuracy")
            return f"round 0  start {interval(self.baseline)}  seconds: {seconds}"
        kept = f"kept {line['selection/kept']} of {line['selection/given']}"
        precision = line.get("selection/label_precision")
        labels = "" if precision is None else f", label precision {precision:.3f}"
        champion, candidate = (interval(line.get(f"{who}/accuracy")) for who in ("champion", "candidate"))
        return (
            f"round {line['round']}  baseline {interval(self.baseline)}  champion {champion}  "
            f"candidate {candidate}  {line['decision']['verdict']} "
            f"({line['decision']['reason']})  {kept}{labels}  seconds: {seconds}"
        )

    def _say(self, text: str) -> None:
        self.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def rounds_table(summary: dict[str, Any]) -> Table:
    """The rounds of a finished run side by side."""
    table = Table(title=f"{summary['recipe']}, seed {summary['seed']}")
    for column in ("round", "champion", "candidate", "verdict", "kept", "labels right", "time"):
        table.add_column(column, justify="left" if column == "verdict" else "right", no_wrap=True)
    for line in summary["per_round"]:
        precision = line.get("selection/label_precision")
        table.add_row(
            str(line["round"]),
            short(line.get("champion/accuracy")),
            short(line.get("candidate/accuracy")),
            line.get("decision", {}).get("verdict", "start"),
            str(line.get("selection/kept", "")),
            "" if precision is None else f"{precision:.3f}",
            f"{sum(line['seconds'].values()):.1f} s",
        )
    return table
