"""Three short runs that show what the loop promises: a real gain is certified, majority votes are refused, and answers
to exam problems are kept out of training.

They are real runs on the tiny model, at sizes that end within two minutes on two cores; all begin with the same start
model.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, ClassVar

from selfimprove import registry
from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Acquisition, Context
from selfimprove.logs import Silent
from selfimprove.loop import begin
from selfimprove.loop.loop import Runner
from selfimprove.loop.watcher import Watcher
from selfimprove.problems.splits import split_of
from selfimprove.recipe import compose
from selfimprove.records import Prompt, Record, Rollout, each_record
from selfimprove.registry import Entry
from selfimprove.report.alarms import of_run
from selfimprove.report.ending import gained, points
from selfimprove.store.run_folder import RunDir

LEAKED = "worked_answers"
"""The acquisition of the third act; no recipe can name it."""
SIZES = ("gate_problems=300", "sealed_problems=400", "probe_problems=50", "audit_problems=50", "audit_samples=4")


@dataclass
class WorkedAnswers(Acquisition):
    """Right answers to invented problems, like a data set from elsewhere: nobody left out the exam's problems."""

    consumes: ClassVar[Any] = None
    produces: ClassVar[Any] = Rollout
    problems: int = 400
    """Problems, each with one worked answer."""

    def gives(self, given: Given) -> Flow:
        return Flow(self.problems, self.problems)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        source = random.Random(context.seed)
        return [_worked([source.randrange(10) for _ in range(source.randint(3, 6))]) for _ in range(self.problems)]


def _worked(digits: list[int]) -> Rollout:
    """The sum of these digits modulo 10, worked out step by step."""
    totals = list(accumulate(digits, lambda total, digit: (total + digit) % 10))
    steps = [f"{a}+{digit}={b}" for (a, b), digit in zip(pairwise(totals), digits[1:], strict=True)]
    key = "+".join(map(str, digits))
    prompt = Prompt(prompt=[{"role": "user", "content": f"S:{key}="}], answer=str(totals[-1]), key=key)
    text = f"{';'.join(steps)}#{totals[-1]}"
    return Rollout(prompt=prompt, completion=[{"role": "assistant", "content": text}])


@dataclass(frozen=True)
class Act:
    """One run, and what it must show."""

    name: str
    promise: str
    recipe: str
    changes: tuple[str, ...]
    judge: Callable[[dict[str, Any], Path], tuple[bool, str]]
    """(summary, run folder) -> whether the promise was kept, and what was seen."""


@dataclass(frozen=True)
class Shown:
    """How an act ended."""

    act: Act
    kept: bool
    seen: str
    seconds: float
    folder: Path


def _gain(summary: dict[str, Any], folder: Path) -> tuple[bool, str]:
    sealed, loop = summary["sealed"], summary["loop"]
    change = f"{sealed['start']:.2f} → {sealed['champion']:.2f}, {points(sealed['delta'], sealed['ci'])}"
    certified = f"{loop['certified']} of {loop['candidates']} models certified"
    return gained(summary) and loop["certified"] > 0, f"{change}; {certified}"


def _refusal(summary: dict[str, Any], folder: Path) -> tuple[bool, str]:
    lines = [line for line in summary["per_round"] if "decision" in line]
    right = "/".join(f"{100 * line['selection/label_precision']:.0f}" for line in lines)
    refused = summary["sealed"]["champion_round"] == 0 and not summary["loop"]["certified"]
    stays = "the start stays champion" if refused else "a model was certified"
    return refused, f"{right} % of its labels were right; {'; '.join(of_run(lines, None))}; {stays}"


def _leak(summary: dict[str, Any], folder: Path) -> tuple[bool, str]:
    dropped = summary["loop"]["held_out_dropped"]
    records = [one for one in each_record(folder / "round_001/selection/output.jsonl") if isinstance(one, Rollout)]
    held_out = sum(split_of(one.prompt.key) != "train" for one in records)
    rang = any(alert["alarm"] == "contamination" for alert in summary["loop"]["alerts"])
    seen = f"{dropped} of {WorkedAnswers.problems} foreign answers were to exam problems; {held_out} were trained on"
    return bool(dropped and records and not held_out and rang), seen + (", the alarm rang" if rang else "")


ACTS = (
    Act("gain", "a real gain is certified", "quickstart", ("rounds=2", "control_problems=50"), _gain),
    Act(
        "votes",
        "majority votes are refused",
        "majority_vote",
        ("rounds=2", "control_problems=0"),
        _refusal,
    ),
    Act(
        "leak",
        "a leak is caught",
        "quickstart",
        (
            *("rounds=1", "control_problems=0", f"acquisition={LEAKED}", "selection=everything"),
            "optimization.sft.max_steps=10",
        ),
        _leak,
    ),
)


class Glimpse(Silent):
    """Shows what a run does right now, and nothing of its rounds."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def step(self, number: int, stage: str) -> None:
        """A step begins."""
        self._watcher.step(number, stage)

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """Progress of the step."""
        self._watcher.progress(done, total, unit)


def play(folder: Path, watcher: Watcher) -> Iterator[Shown]:
    """Run the acts one after the other in folders below `folder`, and say of each how it ended.

    Raises:
        UserError: a run cannot be carried out, such as for lack of space.
    """
    load = partial(compose.load, method=_find)
    for act in ACTS:
        began = time.monotonic()
        run = begin.create(act.recipe, [*SIZES, *act.changes], folder / act.name, load=load)
        summary = Runner(RunDir.open(run.root), watcher, load).run()
        kept, seen = act.judge(summary, run.root)
        yield Shown(act, kept, seen, time.monotonic() - began, run.root)


def _find(slot: str, name: str) -> Entry:
    """The methods that recipes know, and the acquisition of the third act."""
    own = (slot, name) == ("acquisition", LEAKED)
    return Entry(slot, name, WorkedAnswers, "") if own else registry.find(slot, name)
