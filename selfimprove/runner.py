"""The loop over rounds. Every arrow between two stages is a folder, so a stopped run goes on where it stopped."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from selfimprove import environment, splits, start_model, statistics, steps, training
from selfimprove import recipe as recipes
from selfimprove.errors import DataError, RecipeError, StorageError, WaitingError, listed
from selfimprove.interfaces import Log
from selfimprove.journal import Journal
from selfimprove.metric_log import MetricLog
from selfimprove.records import VERDICTS, Report, digest
from selfimprove.rundir import RunDir, signed, storage, write_json, write_text
from selfimprove.stored import FIRST, HELD_OUT, STAGES, Stored, began, changed_values
from selfimprove.unfinished import Unfinished

ACCEPTED = ("acquisition", "reward", "selection", "optimization", "refinement", "controller")
"""Slots whose options may change in the middle of a run: they decide what is learned, not how it is measured."""
TRAINS = ("optimization", "null")
"""Steps in which a policy is trained, for hours perhaps: they do not begin anew when they are stopped."""


class Watcher(Log, Protocol):
    """What shows a run while it goes."""

    def step(self, number: int, stage: str) -> None:
        """A step begins."""

    def round(self, line: dict[str, Any]) -> None:
        """A round is finished; `line` is its line of metrics.jsonl."""


def create(name: str, overrides: Sequence[str], out: Path | None, deterministic: bool = False) -> RunDir:
    """Make the folder of a new run and write its recipe and environment.

    Args:
        name: the path of a recipe or the name of a shipped one.
        overrides: changes such as `rounds=5`.
        out: the folder; None makes runs/<recipe>, with a number where that exists.
        deterministic: whether torch is held to its deterministic algorithms.

    Raises:
        UserError: the recipe cannot be used, or the folder is not empty.
    """
    recipe, settings = recipes.load(name, overrides)
    steps.threads(recipe)
    _absolute(settings)
    title = recipes.find(name).stem
    folder = RunDir.create(out or next(path for path in _candidates(Path("runs") / title) if not path.exists()))
    write_text(folder.root / "recipe.yaml", recipes.runnable(settings))
    device = environment.accelerator()
    found = {
        "recipe": title,
        "settings": settings,
        **environment.environment(settings),
        "accelerator": device,
        "deterministic": deterministic,
        "tier": environment.tier(settings, device, deterministic),
        "data": environment.fingerprints(settings),
    }
    write_json(folder.root / "environment.json", signed(found))
    return folder


def _absolute(settings: dict[str, Any]) -> None:
    """Name local data and models by absolute paths, so that a run can be resumed from any folder."""
    for option, path in environment.local(settings).items():
        slot, method, name = option.split(".")
        settings[slot][method][name] = str(Path(path).expanduser().resolve())


def accept(folder: RunDir) -> list[str]:
    """Go on with a recipe that was edited, or with other versions: what `resume --accept-changes` does first.

    Options of the methods that get, reward, select and train on data may change; they count from the first round on
    that has not begun. recipe.yaml is put back, environment.json keeps the change. Returns what was accepted.

    Raises:
        RecipeError: a change concerns what was measured already, or what the exams are held with.
    """
    with folder.lock():
        then = began(folder)
        path = folder.root / "recipe.yaml"
        edited = changed_values(then["settings"], recipes.load(path)[1])
        for place, old, new in edited:
            slot, method, _ = [*place.split("."), "", ""][:3]
            if slot not in ACCEPTED or method not in then["settings"][slot] or isinstance(new, dict) or new is None:
                raise RecipeError(
                    f"{place} was {old!r}, is {new!r}: a run cannot go on with that, only with other values of options "
                    f"of {', '.join(ACCEPTED)}. Put {path} back, or start a new run"
                )
        begun = [int(found.parent.name.removeprefix("round_")) for found in folder.root.glob("round_*/[!.]*")]
        first = max(begun, default=0) + 1
        accepted = list(then.get("accepted", ()))
        if edited:
            accepted.append({"round": first, "overrides": {place: new for place, _, new in edited}})
        found = _found(then["settings"])
        grave, slight = environment.differences(then, found)
        now = {**then, **found, "accepted": accepted, "changes": [*then.get("changes", ()), *grave, *slight]}
        write_json(folder.root / "environment.json", signed(now))
        write_text(path, recipes.runnable(then["settings"]))
        said = [f"from round {first} on: {place} is {new!r}, was {old!r}" for place, old, new in edited]
        return said + grave


def _found(settings: dict[str, Any]) -> dict[str, Any]:
    return {**environment.environment(settings), "accelerator": environment.accelerator()}


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1


class Runner:
    """Carries out a run, step by step."""

    def __init__(self, folder: RunDir, watcher: Watcher) -> None:
        self.folder, self.watcher = folder, watcher
        self.stored = Stored(folder)

    def run(self, rounds: int | None = None, answer: bool | None = None) -> dict[str, Any]:
        """Run or finish all rounds and the sealed exam under the lock of the folder; returns summary.json.

        Args:
            rounds: rounds in all; None is what the recipe plans.
            answer: what a person says to the proposal that the run waits with.

        Raises:
            WaitingError: at autonomy 1, a proposal has to be approved or rejected.
            RecipeError: there is an answer, but nothing was proposed; or the versions are others than before.
            DataError: the data, or what is stored, is not what it was.
            StorageError: there is no room for the rounds that are left.
        """
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts: repeatable products
        with self.folder.lock():
            self._compare()
            self.stored.ledger.check(self.stored.noted_steps())
            if answer is not None:
                self._answer(answer)
            try:
                return self._loop(self.stored.recipe.rounds if rounds is None else rounds)
            finally:
                for engine in self.stored.recipe.engine.values():
                    engine.close()

    def _compare(self) -> None:
        """Versions, machine and data against those that the run began with."""
        then, root = self.stored.environment, self.folder.root
        if "versions" not in then:
            return
        changed = environment.changed_data(then.get("data", {}))
        if changed:
            raise DataError(f"the data of the run changed: {listed(changed)}. Put it back, or start a new run")
        steps.threads(self.stored.recipe)
        grave, slight = environment.differences(then, _found(then["settings"]))
        if grave:
            raise RecipeError(
                f"{root} was begun with other versions: {listed(grave)}. Install those, or go on with these: "
                f"selfimprove resume {root} --accept-changes"
            )
        if slight:
            self.watcher.note(f"not quite what the run began with, so it may not repeat to the bit: {listed(slight)}")

    def _room(self, number: int, rounds: int) -> None:
        """Before a round: whether the rounds that are left fit on the disk, if they are like the largest so far."""
        sizes = [self.folder.size(past) for past in range(1, number)]
        start = Path(self.stored.checkpoint(0).path)
        each = max(sizes) if sizes else sum(file.stat().st_size for file in start.rglob("*") if file.is_file())
        left, free = rounds - number + 1, shutil.disk_usage(self.folder.root).free
        if each * left > free:
            fits = number - 1 + free // each
            fewer = f", or hold the exam after {fits}: selfimprove resume {self.folder.root} --rounds {fits}"
            raise StorageError(
                f"the {left} rounds that are left need about {_bytes(each * left)}, {_bytes(free)} are free for "
                f"{self.folder.root}. Make room, then: selfimprove resume {self.folder.root}{fewer if fits else ''}"
            )

    def _loop(self, rounds: int) -> dict[str, Any]:
        fingerprint = ended = self.stored.first()
        heard = {e["round"] for e in self.stored.ledger.entries() if e.get("step") == "confirmation" and "alpha" in e}
        stopped, last = "", 0
        for number in range(rounds + 1):
            if number and not self.folder.step(number, STAGES[-1]).exists():
                self._room(number, rounds)
            for stage in STAGES if number else FIRST:
                fingerprint = self._step(number, stage, fingerprint)
                if stage == "evaluation" and not self.folder.manifest(number, stage)["counts"]["problems"]:
                    stopped = f"no gate problem is left unread for round {number}: nothing can be decided any more"
                    break
                if stage == "selection" and not self.folder.manifest(number, stage)["counts"]["kept"]:
                    stopped = f"selection kept none of the records of round {number}: nothing to train on"
                    break
            if stopped:
                break
            last, ended = number, fingerprint
            if number in heard:  # whoever counts from here on follows from this decision too
                self._step(number, "confirmation", ended)
            self._publish(number, replayed=number < rounds and self.folder.step(number + 1, STAGES[0]).exists())
            self._wait()
            if number:
                stopped = self.stored.after(number).get("stop", "")
                stopped = stopped or (steps.untested(self.stored, number + 1) if number < rounds else "")
            if stopped:
                break
        standing = self.stored.standing(last + 1)
        if self.stored.recipe.the("gate").lagged and standing.incumbent != standing.champion:
            self._step(last, "confirmation", ended)
            self._publish(last, again=True)
            self._wait()
        if self.stored.recipe.null_round and last:
            self._step(last, "null", ended)
        self._step(last, "sealed", ended)
        summary = summarize(self.stored, last, stopped)
        write_json(self.folder.root / "summary.json", signed(summary))
        return summary

    def _answer(self, approved: bool) -> None:
        waiting = self.stored.waiting()
        if waiting is None:
            raise RecipeError(f"nothing in {self.folder.root} waits for an answer; go on without --approve or --reject")
        self.stored.ledger.answer(*waiting, approved)

    def _wait(self) -> None:
        """At autonomy 1, leave a proposal to a person."""
        waiting = self.stored.waiting()
        if waiting is None:
            return
        number, step = waiting
        decision = self.stored.confirmation(number) if step == "confirmation" else self.stored.decision(number)
        reasons = [f"{decision.reason}" if decision else ""]
        if step == "gate" and (overrides := self.stored.proposed(number).get("overrides")):
            reasons.append("for the next round: " + ", ".join(f"{key}={value}" for key, value in overrides.items()))
        raise WaitingError(
            f"round {number} waits for you: {'; '.join(reasons)}. "
            f"Type: selfimprove resume {self.folder.root} --approve, or --reject"
        )

    def _step(self, number: int, stage: str, before: str) -> str:
        """Make sure that a step is done; returns the fingerprint that the next one builds on."""
        fingerprint, inputs = self.stored.fingerprint(before, number, stage), self.stored.inputs(number, stage)
        if not self.folder.done(number, stage, fingerprint, inputs, self.watcher.note):
            self.watcher.step(number, stage)
            command = ["step", str(self.folder.root), str(number), stage, "--fingerprint", fingerprint]
            self.stored.recipe.the("launcher").launch(lambda: self.perform(number, stage, fingerprint), command)
        Unfinished(self.folder, number, stage).clear()
        return fingerprint

    def perform(self, number: int, stage: str, fingerprint: str) -> None:
        """Carry out one step from what lies on disk, and commit it.

        Of several processes that train together (`launcher: accelerate`) the first one writes the step.
        """
        if int(os.environ.get("RANK", "0")):
            return self._beside(number, stage)
        began, log = time.monotonic(), MetricLog(self.watcher)
        folder, inputs = self.folder.begin(number, stage), self.stored.inputs(number, stage)
        steps.threads(self.stored.recipe)
        if self.stored.environment.get("deterministic"):
            steps.deterministic()
        journal, counts = None, dict[str, Any]()
        if stage not in ("model", *TRAINS):  # the weights behind a path change while it trains
            journal = Journal(self.folder.journal(number, stage), f"{fingerprint} {inputs}")
        self.stored.journal = journal
        try:
            with (
                storage(),
                nullcontext() if stage in HELD_OUT else splits.closed(stage),
                self._kept(number, stage, fingerprint),
            ):
                if stage == "model":
                    start_model.build(self.stored, folder, log)
                else:
                    counts = steps.STEPS[stage](self.stored, steps.context(self.stored, number, stage, folder, log))
        except BaseException as error:
            if journal:
                with suppress(StorageError):  # what the step failed of is the thing to say
                    journal.write()
            if isinstance(error, KeyboardInterrupt):
                self.folder.discard(number, stage)
            raise
        finally:
            self.stored.journal = None
        if journal and journal.reused:
            log.note(f"{journal.reused} completions and scores were taken from before the interruption")
        notes = {"round": number, "stage": stage, "counts": counts, "metrics": log.metrics}
        notes |= {"fingerprint": fingerprint, "inputs": inputs}
        self.folder.commit(number, stage, notes, time.monotonic() - began)

    def _kept(self, number: int, stage: str, fingerprint: str) -> AbstractContextManager[None]:
        """Where the step trains, its trainings go on where a former attempt at this very step stopped."""
        if stage not in TRAINS:
            return nullcontext()
        bound = digest([fingerprint, self.stored.inputs(number, stage), environment.environment(self.stored.settings)])
        return training.resumable(Unfinished(self.folder, number, stage, bound, self.watcher.note))

    def _beside(self, number: int, stage: str) -> None:
        """Take part in a step that another process writes; what is written here is thrown away."""
        steps.threads(self.stored.recipe)
        if self.stored.environment.get("deterministic"):
            steps.deterministic()
        with TemporaryDirectory() as scratch, splits.closed(stage):
            given = steps.context(self.stored, number, stage, Path(scratch), MetricLog(self.watcher))
            steps.STEPS[stage](self.stored, given)

    def _publish(self, number: int, again: bool = False, replayed: bool = False) -> None:
        """After a round: metrics.jsonl (always rebuilt from the steps), the champion link, the line on the screen.

        A round that a resume only walks over is shown: metrics.jsonl and the link are ahead of it and stay there.
        """
        line = self.stored.line(number)
        if not replayed:
            lines = [*(self.stored.line(past) for past in range(number)), line]
            write_text(self.folder.root / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
            _tensorboard(self.folder.root, line)
            champion = self.stored.checkpoint(self.stored.standing(number + 1).champion)
            self.folder.point("champion", Path(champion.path))
        if not again:
            self.watcher.round({**line, "seconds": self.stored.seconds(number)})


def summarize(stored: Stored, last: int, stopped: str) -> dict[str, Any]:
    """What summary.json holds, from the finished steps of a run with the sealed exam after round `last`."""
    start, champion = stored.report(last, "start", "sealed"), stored.report(last, "champion", "sealed")
    old = list(start.scores.values())
    new = [champion.scores[key] for key in start.scores]
    delta, (better, worse) = statistics.difference(new, old), statistics.discordant(new, old)
    sealed = {
        "n": len(old),
        "measure": start.measure,
        "start": sum(old) / len(old),
        "champion": sum(new) / len(new),
        "delta": delta.value,
        "ci": [delta.low, delta.high],
        "p": statistics.mcnemar_two_sided(better, worse),
        "champion_round": stored.standing(last + 1).champion,
        "reads": len(list(stored.folder.root.glob("round_*/sealed"))),
        "controls": stored.controls(last),
    }
    lines = [{**stored.line(number), "seconds": stored.seconds(number)} for number in range(last + 1)]
    exams = [step for step in ("confirmation", "null", "sealed") if stored.folder.step(last, step).exists()]
    seconds = sum(sum(line["seconds"].values()) for line in lines)
    return {
        "recipe": stored.environment["recipe"],
        "seed": stored.recipe.seed,
        "rounds": last,
        "seconds": seconds + sum(stored.folder.seconds(last, step) for step in exams),
        "verdict": verdict(sealed),
        "stopped": stopped,
        "sealed": sealed,
        "metrics": {who: _values(stored.report(last, who, "sealed")) for who in ("start", "champion")},
        "loop": _loop_counts(stored, last, sealed["champion"]),
        "per_round": lines,
    }


def _bytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _values(report: Report) -> dict[str, Any]:
    return {name: asdict(metric) for name, metric in report.metrics.items()}


def _loop_counts(stored: Stored, last: int, champion: float) -> dict[str, Any]:
    """What the loop did to reach its champion, and by how much its last gate score overstates the sealed one."""
    rounds = [stored.past(number) for number in range(1, last + 1)]
    decisions = [decision for past in rounds for decision in (past.decision, past.confirmation) if decision]
    gate = stored.recipe.the("gate")
    maker = stored.standing(last + 1).champion
    seen = [
        stored.report(last, who, step).scores
        for step in ("confirmation", "evaluation")
        for who in ("incumbent", "candidate", "champion")
        if (stored.folder.step(last, step) / f"{who}.json").exists() and stored.made(last, who, step) == maker
    ]
    return {
        "candidates": len(rounds),
        **{word: sum(past.decision.verdict == word for past in rounds if past.decision) for word in VERDICTS},
        "certified": sum(d.certified or d.verdict == "certify" for d in decisions),
        "alpha": getattr(gate, "alpha", None),
        "alpha_spent": sum(d.statistics.get("alpha_r", 0.0) for d in decisions),
        "gate_minus_sealed": sum(seen[0].values()) / len(seen[0]) - champion if seen and seen[0] else None,
        "held_out_dropped": sum(int(past.counts.get("acquisition/held_out_dropped", 0)) for past in rounds),
        "alerts": [{"round": past.round, **asdict(alert)} for past in rounds for alert in past.alerts],
    }


def verdict(sealed: dict[str, Any]) -> str:
    """The outcome of the sealed exam in one sentence."""
    measure = sealed.get("measure", "accuracy").replace("_", " ")
    again = f", sealed problems read {sealed['reads']} times" if sealed["reads"] > 1 else ""
    if sealed["champion_round"] == 0:
        share = f"{measure} {sealed['start']:.2f} (n = {sealed['n']}{again})"
        return f"no significant gain: the start stays champion, {share}"
    low, high = (100 * bound for bound in sealed["ci"])
    p = f"exact p = {sealed['p']:.2g}" if sealed["p"] >= 1e-6 else "exact p < 1e-6"
    change = (
        f"{measure} {sealed['start']:.2f} -> {sealed['champion']:.2f} ({100 * sealed['delta']:+.1f} points, "
        f"95 % CI {low:+.1f} to {high:+.1f}, {p}, n = {sealed['n']}{again})"
    )
    return change if low > 0 and sealed["p"] < 0.05 else f"no significant gain: {change}"


def _tensorboard(root: Path, line: dict[str, Any]) -> None:
    """The numbers of a round for TensorBoard, if it is installed."""
    if find_spec("tensorboard") is None:
        return
    from torch.utils.tensorboard.writer import SummaryWriter

    with SummaryWriter(str(root / "tensorboard")) as writer:
        for name, value in line.items():
            number = value.get("value") if isinstance(value, dict) else value
            if isinstance(number, int | float) and name != "round":
                writer.add_scalar(name, number, line["round"])
