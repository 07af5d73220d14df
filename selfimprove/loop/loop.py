"""The loop over rounds. Stages exchange data through folders, so a stopped run continues where it stopped."""

from __future__ import annotations

import gc
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selfimprove import training
from selfimprove.costs import Meter, counted
from selfimprove.errors import DataError, RecipeError, StorageError, WaitingError, listed
from selfimprove.logs import MetricLog, charted
from selfimprove.loop import keeping, provenance, stages, steps
from selfimprove.loop.begin import machine_now
from selfimprove.loop.carried import Carried
from selfimprove.loop.history import Stored
from selfimprove.loop.summary import in_bytes, summarize
from selfimprove.loop.target import settle
from selfimprove.loop.tracking import MetricsFile, Tracking
from selfimprove.loop.watcher import Watcher
from selfimprove.problems import splits
from selfimprove.recipe import compose
from selfimprove.records import digest
from selfimprove.store.journal import Journal
from selfimprove.store.run_folder import RunDir, storage
from selfimprove.store.seal import signed, write_json
from selfimprove.store.training_checkpoints import Unfinished

SHOWN = 20
"""Rounds that a resume shows again, the last of those that are finished."""


class Runner:
    """Executes a run step by step."""

    def __init__(self, folder: RunDir, watcher: Watcher, load: compose.Load = compose.load) -> None:
        self.folder, self.watcher = folder, watcher
        self.stored = Stored(folder, load)
        self._metrics = MetricsFile(folder.root / "metrics.jsonl")
        self._tracking = Tracking.of(self.stored, watcher.note)
        self._largest = Carried(0, lambda most, past: max(most, folder.size(past) if past else 0), folder.touched)

    def run(self, rounds: int | None = None, answer: bool | None = None, add: int | None = None) -> dict[str, Any]:
        """Run or finish all rounds and the sealed exam under the lock of the folder; returns summary.json.

        Args:
            rounds: total number of rounds; None means as planned: the recipe's, or what an earlier resume said.
            answer: a person's answer to the proposal that the run waits with.
            add: number of rounds beyond those planned.

        Raises:
            WaitingError: at autonomy 1, a proposal must be approved or rejected.
            RecipeError: there is an answer but no proposal, versions changed, or fewer rounds are asked for than
                have begun.
            DataError: the data or the stored run was changed.
            StorageError: there is too little space for the remaining rounds.
        """
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts: repeatable products
        with self.folder.lock(), _rare_collections():
            self._compare()
            self.stored.ledger.check(self.stored.noted_steps())
            goal, told = settle(self.stored, rounds, add)
            self.watcher.goal(goal)
            if told:
                self.watcher.note(told)
            if answer is not None:
                self._answer(answer)
            try:
                return self._loop(goal)
            finally:
                self._tracking.end()
                for engine in self.stored.recipe.engine.values():
                    engine.close()

    def _compare(self) -> None:
        """Compare versions, machine and data with those that the run began with."""
        then, root = self.stored.environment, self.folder.root
        if "versions" not in then:
            return
        changed = provenance.changed_data(then.get("data", {}))
        if changed:
            raise DataError(f"the data of the run changed: {listed(changed)}. Restore it, or start a new run")
        steps.threads(self.stored.recipe)
        grave, slight = provenance.differences(then, machine_now(then["settings"]))
        if grave:
            raise RecipeError(
                f"{root} was started with other versions: {listed(grave)}. Install those, or continue with these: "
                f"selfimprove resume {root} --accept-changes"
            )
        if slight:
            self.watcher.note(f"changed since the run began, so results may differ in the last bits: {listed(slight)}")

    def _room(self, number: int, rounds: int) -> None:
        """Before a round, check that the remaining rounds fit on the disk if each is as large as the largest so far."""
        each = self._largest.at(number)
        if number == 1:
            start = Path(self.stored.checkpoint(0).path)
            each = sum(file.stat().st_size for file in start.rglob("*") if file.is_file())
        left, free = rounds - number + 1, shutil.disk_usage(self.folder.root).free
        if each * left > free:
            fits = number - 1 + free // each
            fits = 0 if fits < number and self.folder.finished(number) else fits  # what has begun is not taken back
            fewer = f", or hold the exam after {fits} rounds: selfimprove resume {self.folder.root} --rounds {fits}"
            raise StorageError(
                f"the remaining {left} rounds need about {in_bytes(each * left)}, {in_bytes(free)} are free for "
                f"{self.folder.root}. Make room, then: selfimprove resume {self.folder.root}{fewer if fits else ''}"
            )

    def _loop(self, rounds: int) -> dict[str, Any]:
        fingerprint = ended = self.stored.first()
        heard = {e["round"] for e in self.stored.ledger.entries() if e.get("step") == "confirmation" and "alpha" in e}
        stopped, last = "", 0
        skipped = next((n for n in range(rounds) if not self._followed(n)), rounds) - SHOWN
        if skipped > 0:
            self.watcher.note(f"rounds 0 to {skipped - 1} were finished before; metrics.jsonl has them")
        for number in range(rounds + 1):
            if number and self.stored.steps(number)[-1] not in self.folder.finished(number):
                self._room(number, rounds)
            for stage in self.stored.steps(number):
                fingerprint = self._step(number, stage, fingerprint)
                counts = self.folder.manifest(number, stage).get("counts", {})
                if stage == "evaluation" and not counts.get("problems", 1):
                    stopped = f"no unread gate problem is left for round {number}, so no decision is possible"
                    break
                if stage == "selection" and not counts.get("kept", 1):
                    stopped = f"selection kept none of the records of round {number}: nothing to train on"
                    break
            if stopped:
                break
            last, ended = number, fingerprint
            if number in heard:  # whoever counts from here on follows from this decision too
                self._step(number, "confirmation", ended)
            if number >= skipped:
                self._publish(number, replayed=number < rounds and self._followed(number))
                if number in heard:
                    self._confirmed(number, "again" if number < rounds else "last")
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
            if last not in heard:
                self._confirmed(last, "last")
            self._wait()
        if self.stored.recipe.null_round and last:
            self._step(last, "null", ended)
        self._step(last, "sealed", ended)
        summary = summarize(self.stored, last, stopped)
        write_json(self.folder.root / "summary.json", signed(summary))
        return summary

    def _followed(self, number: int) -> bool:
        """Whether the round after a round has begun."""
        return self.folder.step(number + 1, self.stored.steps(number + 1)[0]).exists()

    def _answer(self, approved: bool) -> None:
        waiting = self.stored.waiting()
        if waiting is None:
            raise RecipeError(f"{self.folder.root} does not wait for an answer; resume without --approve or --reject")
        self.stored.ledger.answer(*waiting, approved)

    def _wait(self) -> None:
        """At autonomy 1, wait for a person's answer to a proposal."""
        waiting = self.stored.waiting()
        if waiting is None:
            return
        number, step = waiting
        decision = self.stored.confirmation(number) if step == "confirmation" else self.stored.decision(number)
        reasons = [f"{decision.reason}" if decision else ""]
        if step == "gate" and (overrides := self.stored.proposed(number).get("overrides")):
            reasons.append("for the next round: " + ", ".join(f"{key}={value}" for key, value in overrides.items()))
        raise WaitingError(
            f"round {number} waits for your answer: {'; '.join(reasons)}. "
            f"Type: selfimprove resume {self.folder.root} --approve, or --reject"
        )

    def _step(self, number: int, stage: str, before: str) -> str:
        """Run a step unless it is finished; returns its fingerprint, for the next step."""
        fingerprint, inputs = self.stored.fingerprint(before, number, stage), self.stored.inputs(number, stage)
        if not self.folder.done(number, stage, fingerprint, inputs, self.watcher.note):
            self.watcher.step(number, stage)
            command = ["step", str(self.folder.root), str(number), stage, "--fingerprint", fingerprint]
            self.stored.recipe.the("launcher").launch(lambda: self.perform(number, stage, fingerprint), command)
            self.folder.reread(number, stage)  # another process may have made it
        if stages.stage_of(stage).trains:
            Unfinished(self.folder, number, stage).clear()
        return fingerprint

    def perform(self, number: int, stage: str, fingerprint: str) -> None:
        """Run one step from the finished steps on disk, and commit it.

        If several processes train together (`launcher: accelerate`), the first one writes the step.
        """
        if int(os.environ.get("RANK", "0")):
            return self._beside(number, stage)
        began, log = time.monotonic(), MetricLog(self.watcher)
        folder, inputs = self.folder.begin(number, stage), self.stored.inputs(number, stage)
        steps.threads(self.stored.recipe)
        if self.stored.environment.get("deterministic"):
            steps.deterministic()
        journal, facts = None, stages.stage_of(stage)
        if stage != "model" and not facts.trains:  # the weights behind a path change while it trains
            journal = Journal(self.folder.journal(number, stage), f"{fingerprint} {inputs}", self.folder.shelf)
        self.stored.journal = journal
        try:
            with (
                storage(),
                counted() as meter,
                charted() as curve,
                nullcontext() if facts.held_out else splits.closed(stage),
                self._kept(number, stage, fingerprint),
            ):
                counts = steps.carry_out(self.stored, number, stage, folder, log)
        except BaseException as error:
            if journal:
                with suppress(StorageError):  # report the first error, not this one
                    journal.write()
            if isinstance(error, KeyboardInterrupt):
                self.folder.discard(number, stage)
            raise
        finally:
            self.stored.journal = None
        for note in journal.notes() if journal else ():
            log.note(note)
        if stage != "model":  # the same step, whether the weights were made here or taken from the cache
            counts |= _taken(meter)
        notes = {"round": number, "stage": stage, "counts": counts, "metrics": log.metrics}
        notes |= {"fingerprint": fingerprint, "inputs": inputs}
        self.folder.commit(number, stage, notes, time.monotonic() - began, curve)

    def _kept(self, number: int, stage: str, fingerprint: str) -> AbstractContextManager[None]:
        """If the step trains, continue from the checkpoints of an earlier attempt at the same step."""
        if not stages.stage_of(stage).trains:
            return nullcontext()
        bound = digest([fingerprint, self.stored.inputs(number, stage), provenance.environment(self.stored.settings)])
        return training.resumable(Unfinished(self.folder, number, stage, bound, self.watcher.note))

    def _beside(self, number: int, stage: str) -> None:
        """Take part in a step that another process writes; drop the files written here."""
        steps.threads(self.stored.recipe)
        if self.stored.environment.get("deterministic"):
            steps.deterministic()
        with TemporaryDirectory() as scratch, splits.closed(stage):
            steps.carry_out(self.stored, number, stage, Path(scratch), MetricLog(self.watcher))

    def _publish(self, number: int, again: bool = False, replayed: bool = False) -> None:
        """After a round, update metrics.jsonl, tracker and champion link, and show it; a replayed one is only shown."""
        line = self.stored.line(number)
        if not replayed:
            self._metrics.write(number, self.stored.line)
            self.folder.point("champion", Path(self.stored.checkpoint(self.stored.standing(number + 1).champion).path))
            self._tracking.send(number)
            keeping.free(self.stored, self.stored.recipe.keep)
        if not again:
            trial = self.stored.standing(number).incumbent
            self.watcher.round({**line, "seconds": self.stored.seconds(number), "trial": trial})

    def _confirmed(self, number: int, name: str) -> None:
        self.watcher.confirmation({**self.stored.confirmation_line(number), "name": name})


@contextmanager
def _rare_collections() -> Iterator[None]:
    """While a run goes, look for garbage in cycles far less often: records are many, live long and form none.

    What forms them, a trainer with its optimizer, is collected where it ends (`training/sequence.py`).
    """
    before = gc.get_threshold()
    gc.set_threshold(200_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _taken(meter: Meter) -> dict[str, int]:
    """The cost of a step as its counts: completions, tokens (`drawn_tokens`), scores and training steps."""
    cost = meter.cost
    found = {
        "completions": cost.completions,
        "drawn_tokens": cost.tokens,
        "scored": cost.scored,
        "steps": cost.steps,
        "calls": cost.calls,
        "copies": cost.copies,
    }
    return {name: number for name, number in found.items() if number}
