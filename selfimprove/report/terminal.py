"""A run on screen while it goes on: its head, a row for each round, notes, and a live line below them."""

from __future__ import annotations

import textwrap
import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from selfimprove.loop.clock import Clock
from selfimprove.report import bar, printing, rows
from selfimprove.report.importing import Importing
from selfimprove.report.letters import fancy, fitted, width
from selfimprove.safety.redaction import shown

SILENCE = 10.0
"""Seconds between two lines about the progress of a step, where no live line can be shown."""
REPEATS = {
    "exact": "repeats exactly on this machine",
    "resume-exact": "resumes exactly; a repeat draws other samples",
    "statistical": "a repeat differs within its intervals",
}
"""How exactly a run repeats (`provenance.TIERS`), in a few words."""


@dataclass(frozen=True)
class Title:
    """What the head of a run says."""

    recipe: str
    seed: int
    folder: str
    tier: str

    def of(self, rounds: int) -> str:
        """`quickstart, seed 0   5 rounds   runs/quickstart   repeats exactly on this machine`."""
        how_many = f"{rounds} round{'s' * (rounds != 1)}"
        parts = (f"{self.recipe}, seed {self.seed}", how_many, self.folder, REPEATS.get(self.tier, ""))
        return "   ".join(part for part in parts if part)


class Screen:
    """Shows a run as it progresses, or another piece of work: on a terminal with a live line, else in a log."""

    def __init__(self, console: Console, title: Title | None = None, verbose: bool = False) -> None:
        self.console, self.title, self.verbose = console, title, verbose
        self.work = bar.Work("", time.monotonic())
        self.course: bar.Course | None = None
        self.stopping = False
        self._clock, self._said, self._headed, self._trial = Clock(), 0.0, False, 0
        self._imports = Importing(self._importing)
        self._live = Live(
            get_renderable=self._line, console=console, transient=True, refresh_per_second=4, vertical_overflow="crop"
        )
        self._alive = fancy(console)

    def __enter__(self) -> Screen:
        self._imports.__enter__()
        if self._alive:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._alive:
            self._live.stop()
        self._imports.__exit__()

    def goal(self, rounds: int) -> None:
        """The run goes to this many rounds."""
        self.course = bar.Course(time.monotonic(), rounds, finished=time.monotonic())
        if self.title:
            self._print(Text(fitted(shown(self.title.of(rounds)), self.console), "bold"))
            self._print(Text())

    def step(self, number: int, stage: str) -> None:
        """A step begins."""
        self.begin(bar.words(number, stage))
        if stage == "model" and not self._alive:
            self._say(f"{self.work.label} ...")

    def begin(self, label: str) -> None:
        """A piece of work begins."""
        self.work, self._said, self._clock = bar.Work(label, time.monotonic()), time.monotonic(), Clock()

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """The step has finished `done` of `total` units."""
        now = time.monotonic()
        self.work.rate = self._clock.rate(done, unit, now)
        self.work.done, self.work.total, self.work.unit = done, total, unit
        if not self._alive and now - self._said > SILENCE:
            self._said = now
            self._say(f"{self.work.label}: {self.work.said()}")

    def metric(self, name: str, value: float) -> None:
        """A metric of the step; it is written to the files, not to the screen."""

    def note(self, text: str) -> None:
        """A note, on its own line."""
        self._say(f"{self.work.label}: {text}" if self.work.label else text)

    def round(self, line: dict[str, Any]) -> None:
        """A round is finished."""
        trial = line.get("trial", self._trial)
        self._row(rows.of_round(line, trial))
        self._trial = rows.after(line, trial)
        if self.verbose:
            printing.detail(self.console, line)
        if self.course:
            now = time.monotonic()
            if line["round"] and self.course.number == line["round"] - 1:
                self.course.took.append(sum(line.get("seconds", {}).values()))
            self.course.number, self.course.finished = line["round"], now

    def confirmation(self, line: dict[str, Any]) -> None:
        """A test after the last round is finished."""
        self._row(rows.of_test(line))

    def stops(self) -> None:
        """The run ends at its next safe point; safe to call in a signal handler, for it prints nothing."""
        self.stopping = True

    def _row(self, row: rows.Row) -> None:
        if not self._headed:
            printing.head(self.console)
            self._headed = True
        printing.row(self.console, row)

    def _line(self) -> Text:
        if self.stopping:
            return Text("stopping at the next safe point; Ctrl-C again: at once, finished steps are kept", "yellow")
        if name := self._imports.current:
            return Text(f"importing {name} ...", "dim")
        if not self.work.label:
            return Text()
        return bar.line(self.work, self.course, time.monotonic(), width(self.console))

    def _importing(self, name: str) -> None:
        if not self._alive and name == "torch":  # the others may only be looked for; in a log one line is enough
            self._say(f"importing {name} ...")

    def _say(self, text: str) -> None:
        safe = fitted(shown(text), self.console)
        columns = width(self.console)
        lines = textwrap.wrap(safe, columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        self._print(Text("\n".join(lines) if self._alive and len(safe) > columns else safe))

    def _print(self, text: Text) -> None:
        self.console.print(text, soft_wrap=True)
