"""A run on screen: live progress with rate and time left, a line for each round, tables at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from selfimprove.loop.certificate import told
from selfimprove.records import VERDICTS, measured
from selfimprove.safety.redaction import shown

SHOWN = 100
"""Most rounds in the table after a run."""
WORDS = {
    "certify": "new champion",
    "accept": "on trial",
    "hold": "undecided",
    "reject": "not better",
    "rollback": "rolled back",
}
"""Stored verdict -> what happened to the candidate, in words for the screen."""


def short(metric: dict[str, Any] | None) -> str:
    """`0.693 ±0.029`, with half the width of the interval, for narrow columns; a dash for None."""
    return f"{metric['value']:.3f} ±{(metric['high'] - metric['low']) / 2:.3f}" if metric else "-"


def verdict(decision: dict[str, Any], alerts: Sequence[dict[str, Any]] = ()) -> str:
    """What happened to the candidate, in one or two words; a veto names its alarms and guards."""
    vetoes = [alert["alarm"] for alert in alerts if alert["level"] >= 2]
    vetoes += decision["statistics"].get("fallen", [])
    if vetoes and decision["verdict"] in ("rollback", "reject"):
        return f"vetoed by {', '.join(dict.fromkeys(vetoes))}"
    return WORDS[decision["verdict"]]


def outcome(line: dict[str, Any]) -> str:
    """The decisions of a round with their reasons: on the model on trial if it was certified, then on the candidate.

    The reason is the number of problems gained and lost in the test; `gate/decision.json` has p and its level.
    """
    decision = line["decision"]
    numbers = decision["statistics"]
    told = []
    if decision["certified"]:
        told.append(f"model on trial certified: {_counts(numbers['incumbent'])}")
    because = _counts(numbers) if {"b", "c"} <= numbers.keys() else decision["reason"]
    told.append(f"candidate {verdict(decision, line['alerts'])}: {because}")
    return "; ".join(told)


def _counts(pair: dict[str, Any]) -> str:
    return f"{pair['b']} problems gained, {pair['c']} lost"


class _Clock:
    """The rate of each unit of a step. A step may train and sample by turns, so each unit counts its own time."""

    def __init__(self) -> None:
        self.began, self.done, self.seconds = dict[str, int](), dict[str, int](), dict[str, float]()
        self.last = time.monotonic()

    def rate(self, done: int, unit: str, now: float) -> float:
        """Units per second since the count of this unit last restarted; 0 at its first report."""
        if done <= self.done.get(unit, done):
            self.began[unit], self.seconds[unit] = done, 0.0
        else:
            self.seconds[unit] += now - self.last
        self.done[unit], self.last = done, now
        return (done - self.began[unit]) / self.seconds[unit] if self.seconds[unit] else 0.0


class Screen:
    """Shows a run as it progresses, on a terminal or in a log file."""

    def __init__(self, console: Console) -> None:
        self.console = console
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
        self.begin(f"round {number} {stage}")

    def begin(self, label: str) -> None:
        """A piece of work begins."""
        self.label, self.shown, self.clock = label, time.monotonic(), _Clock()
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(self.label, total=None, rate="")

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """The step has finished `done` of `total` units."""
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
        """A metric of the step; it is written to the files, not to the screen."""

    def note(self, text: str) -> None:
        """A note, on its own line."""
        self._say(f"{self.label}: {text}" if self.label else text)

    def round(self, line: dict[str, Any]) -> None:
        """A round is finished."""
        self._say(self.describe(line))

    def describe(self, line: dict[str, Any]) -> str:
        """One finished round in one line."""
        number, champion = line["round"], measured(line, "champion")
        seconds = f"{sum(line['seconds'].values()):.1f} s"
        if number == 0:
            n = f" on {champion['n']} new problems, as many as each round uses" if champion else ""
            return f"round 0: start {short(champion)}{n}; {seconds}"
        kept = f"kept {line['selection/kept']} of {line['selection/given']} samples"
        precision = line.get("selection/label_precision")
        right = "" if precision is None else f", {100 * precision:.0f} % right"
        scores = f"champion {short(champion)}, candidate {short(measured(line, 'candidate'))}"
        return f"round {number}: {scores}; {outcome(line)}; {kept}{right}; {seconds}"

    def _say(self, text: str) -> None:
        self.console.print(shown(text), markup=False, emoji=False, highlight=False, soft_wrap=True)


def rounds_table(summary: dict[str, Any]) -> Table:
    """The rounds of a finished run side by side."""
    table = Table(title=f"{summary['recipe']}, seed {summary['seed']}", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    first = max(0, len(summary["per_round"]) - SHOWN)
    if first:
        table.caption = f"the last {SHOWN} rounds; metrics.jsonl has all"
    for column in ("round", "champion", "candidate", "verdict", "certified", "kept", "right", "time"):
        named = column in ("verdict", "certified")
        table.add_column(column, justify="left" if named else "right", no_wrap=column != "verdict")
    trial = 0
    for line in summary["per_round"]:
        number, decision = line["round"], line.get("decision")
        precision = line.get("selection/label_precision")
        word, certified = "start", ""
        if decision:
            word = verdict(decision, line["alerts"])
            certified = f"round {trial}" if decision.get("certified") else ""
            certified = f"round {number}" if decision["verdict"] == "certify" else certified
            trial = {"accept": number, "certify": number, "rollback": 0}.get(decision["verdict"], trial)
        if number < first:
            continue
        table.add_row(
            str(number),
            short(measured(line, "champion")),
            short(measured(line, "candidate")),
            word,
            certified,
            str(line.get("selection/kept", "")),
            "" if precision is None else f"{100 * precision:.0f} %",
            f"{sum(line['seconds'].values()):.1f} s",
        )
    return table


def sealed_table(summary: dict[str, Any]) -> Table:
    """The metrics of start and champion on the sealed problems."""
    table = Table(title="sealed problems")
    for column in ("metric", "start", "champion"):
        table.add_column(column, justify="left" if column == "metric" else "right", no_wrap=True)
    start, champion = (summary["metrics"][who] for who in ("start", "champion"))
    for name in start:
        table.add_row(name, short(start[name]), short(champion[name]))
    return table


def closing(summary: dict[str, Any]) -> list[str]:
    """The decisions of the loop, its alarms, and what the certificate covers."""
    loop, lines = summary["loop"], list[str]()
    counts = ", ".join(f"{loop[word]} {WORDS[word]}" for word in VERDICTS if loop[word])
    spent = f"; alpha {loop['alpha_spent']:.3g} of {loop['alpha']:.3g} spent" if loop["alpha"] is not None else ""
    certified = f"{loop['certified']} certified, including the test after the last round{spent}"
    lines.append(f"{loop['candidates']} candidates: {counts or 'none'}; {certified}")
    if loop["gate_minus_sealed"] is not None:
        lines.append(
            f"the champion's score on gate problems minus its score in the sealed exam: "
            f"{100 * loop['gate_minus_sealed']:+.1f} points"
        )
    lines += _controls(summary["sealed"]["controls"])
    if "agreement" in summary:
        lines.append(shown(told(summary["agreement"])))
    for alert in loop["alerts"]:
        what = "veto" if alert["level"] >= 2 else "alarm"
        lines.append(f"round {alert['round']}, {what} {alert['alarm']}: {alert['text']}")
    if loop["alpha"] is not None:
        lines.append(
            f"the probability of any false certificate in this run is at most {loop['alpha']:g}, for new problems of "
            "this task; docs/evaluation.md says what this does not cover"
        )
    return lines


def _controls(found: dict[str, Any]) -> list[str]:
    """The controls that the gain is compared with."""
    lines = list[str]()
    if "over_votes" in found:
        votes = f"the start, by majority vote of {found['samples']} samples a problem (training drew {found['drawn']}),"
        lines.append(
            f"equal compute: {votes} scores {short(found['votes'])}, the champion {short(found['champion'])}: "
            f"{_points(found['over_votes'])} (n = {found['problems']})"
        )
    if "null" in found:
        lines.append(f"null round: the same training on shuffled rewards gains {_points(found['null'])} over the start")
    if priced := found.get("equal_tokens"):
        lines.append(
            f"equal tokens: the champion with its refinement, {priced['tokens']:.0f} tokens an answer, scores "
            f"{short(priced['refined'])}; by majority vote of {priced['samples']} plain samples, "
            f"{priced['votes_tokens']:.0f} tokens, {short(priced['votes'])}: {_points(priced['over_votes'])} "
            f"(n = {priced['problems']}; one plain sample {short(priced['plain'])})"
        )
    return lines


def _points(metric: dict[str, Any]) -> str:
    """A difference of accuracies in percentage points, with its interval."""
    value, low, high = (100 * metric[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"
