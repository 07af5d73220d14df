"""What the page of a run is made from, read once. A run that is not finished has no exam, and the page says so."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, MissingError
from selfimprove.loop import shapes
from selfimprove.loop.origin import began
from selfimprove.report.finished import summary_of
from selfimprove.report.lines import last_lines
from selfimprove.report.makers import Makers, last_tests, makers
from selfimprove.report.status import newest_round
from selfimprove.store.ledger import Ledger
from selfimprove.store.run_folder import RunDir
from selfimprove.store.shape import METRIC, misfit, read


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A run, as its page shows it."""

    run: RunDir
    name: str
    """`runs/NAME`: no path of the machine is on the page."""
    began: Mapping[str, Any]
    """environment.json."""
    summary: Mapping[str, Any]
    """summary.json; {} before the exam."""
    lines: Sequence[dict[str, Any]]
    """The finished rounds, each with `seconds`."""
    makers: Sequence[Makers]
    """The makers of champion and model on trial at the start of each of them."""
    tests: Mapping[int, dict[str, Any]]
    """The decisions of the tests after a last round, by round."""
    ledger: Sequence[dict[str, Any]]
    public: bool
    """Whether samples are left out."""
    prefix: str = ""
    """What the ids of its elements begin with, where a page has several runs."""

    def id(self, name: str) -> str:
        """The id of an element."""
        return f"{self.prefix}{name}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """The values of the recipe."""
        return self.began["settings"]

    @property
    def recipe(self) -> str:
        """The name of the recipe."""
        return str(self.began.get("recipe", "recipe"))

    @property
    def rounds(self) -> Sequence[dict[str, Any]]:
        """The finished rounds after the start."""
        return [line for line in self.lines if line["round"]]

    @property
    def last(self) -> int:
        """The last finished round."""
        return self.lines[-1]["round"] if self.lines else 0

    @property
    def measure(self) -> str:
        """The name of the score, in words."""
        return str(self.lines[0].get("measure", "accuracy") if self.lines else "accuracy").replace("_", " ")

    @property
    def gained(self) -> bool:
        """Whether the exam found a gain."""
        return bool(self.summary) and not str(self.summary.get("verdict", "")).startswith("no significant gain")

    def score(self, number: int, step: str, who: str) -> dict[str, Any] | None:
        """The score of a model in a step that examines; None if there is none."""
        path = self.run.step(number, step) / f"{who}.json"
        if step not in self.run.finished(number) or not path.exists():
            return None
        found = read(path, shapes.REPORT)
        return found["metrics"].get(found.get("measure", "accuracy"))


def facts_of(root: Path, public: bool = False, prefix: str = "") -> Facts:
    """Read a run.

    Raises:
        MissingError: there is no run in the folder.
        DataError: a file is damaged.
    """
    run = RunDir.open(root)
    newest = newest_round(root)
    lines = [line for line in last_lines(run, 10**6) if line["round"] <= newest]
    summary = summary_of(root) if os.path.lexists(root / "summary.json") else {}
    if summary and lines and summary["rounds"] < lines[-1]["round"]:
        summary = {}  # it goes on
    if summary.get("per_round"):
        lines = _checked(root, summary["per_round"])
    if not lines:
        raise MissingError(f"{root} has no finished round yet; see how far it is: selfimprove status {root}")
    tests = last_tests(run)
    return Facts(
        run=run,
        name=f"runs/{root.resolve().name}",
        began=began(run),
        summary=summary,
        lines=lines,
        makers=[made for _, made in makers(lines, tests)],
        tests=tests,
        ledger=Ledger(root / "ledger.jsonl").entries(repair=False),
        public=public,
        prefix=prefix,
    )


def _checked(root: Path, lines: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    for line in lines:
        for name, value in line.items():
            scored = name.startswith(("champion/", "candidate/"))
            wrong = misfit(value, METRIC) if scored else ""
            if wrong:
                raise DataError(f"{root / 'summary.json'} is damaged: {name} of round {line['round']}: {wrong}")
    return lines
