"""What each one-shot score is worth: the tiny model trained on what it keeps of a pool with planted faults.

For each seed a model is taught to solve and to judge until it solves half of its problems; what a score asks a judge
is answered by other weights, taught the same for 1,500 steps, in all seeds the same ones. Each selection then keeps
the same number of rows of the same pool (acquisition.planted); where it keeps more, rows are left out at random, where
fewer, it has fewer. The model is trained on them by SFT twice, in two orders, for the same number of steps, and solves
held-out problems greedily; a problem's mark is the mean of both. Baselines are all rows, random rows (four draws), the
longest, those of the problems that the model solves most and least often in four samples, and, as a ceiling that no
selection knows, rows without a planted fault. A gain is the accuracy minus that of the random rows of the same seed,
with a 95 % interval from the problems of all seeds and from what two trainings of one choice differ by; in how many
seeds it is positive stands beside it. Results go into docs/results/selection_worth.json, and what stands there is not
measured again. `scripts/results_table.py` writes docs/selection.md.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, variance
from typing import Any

import bench

from selfimprove import registry, training
from selfimprove.inference.desk import Sessions
from selfimprove.interfaces import GREEDY, Context, Policy, Sampling
from selfimprove.logs import Silent
from selfimprove.measures import statistics
from selfimprove.methods.acquisition.planted import Planted
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.model.tiny import Tiny
from selfimprove.methods.refinement.greedy import Greedy
from selfimprove.methods.selection.planted_tally import found
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.records import Checkpoint, Metric, Rollout, by_prompt

RESULT = Path(__file__).resolve().parents[2] / "docs" / "results" / "selection_worth.json"
SHARE = 0.3
ROWS = 1200
PROBLEMS = 400
TIMES = 2
"""Trainings of each choice, in different orders; one order alone moves the accuracy by some hundredths."""
TRAIN = {"learning_rate": 1e-3, "max_steps": 60, "per_device_train_batch_size": 32, "warmup_steps": 4}
LONGER = Tiny(roles=["solve", "judge"], target_accuracy=1.0, check_every=500, max_steps=1500, decay_steps=300)
"""The bootstrap of the judge, one for all seeds, which has learned more than the model that it judges for."""
SURE: list[tuple[str, dict[str, Any]]] = [("label_errors", {"share": 0.6, "learning_rate": 1e-3})]
"""What stands before a score that prefers wrong answers or noise."""
CHAINS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "perplexity low": [("perplexity", {"keep": SHARE, "band": "low"})],
    "perplexity medium": [("perplexity", {"keep": SHARE, "band": "medium"})],
    "ifd": [("ifd", {"share": SHARE, "alone": "form"})],
    "superfiltering": [("superfiltering", {"first": 0.6, "share": SHARE, "alone": "form"})],
    "less": [("less", {"share": SHARE, "learning_rate": 1e-3, "problems": 32, "checkpoints": 1})],
    "influence": [("influence", {"share": SHARE, "problems": 32})],
    "s2l": [("s2l", {"share": SHARE, "learning_rate": 1e-3})],
    "dsir": [("dsir", {"share": SHARE, "characters": True})],
    "dedup": [("dedup", {})],
    "semantic_dedup": [("semantic_dedup", {"similarity": 0.99})],
    "k_center": [("k_center", {"share": SHARE})],
    "facility_location": [("facility_location", {"share": SHARE})],
    "label_errors": [("label_errors", {"share": SHARE, "learning_rate": 1e-3})],
    "label_errors, doubtful": [("label_errors", {"learning_rate": 1e-3})],
    "alpagasus": [("alpagasus", {"form": "verdict"})],
    "selectit": [("selectit", {"share": SHARE, "form": "verdict"})],
    "deita": [("deita", {"share": SHARE, "form": "verdict"})],
    "label_errors, ifd": [*SURE, ("ifd", {"share": 0.5, "alone": "form"})],
    "label_errors, superfiltering": [*SURE, ("superfiltering", {"first": 0.75, "share": 0.5, "alone": "form"})],
    "label_errors, k_center": [*SURE, ("k_center", {"share": 0.5})],
    "label_errors, facility_location": [*SURE, ("facility_location", {"share": 0.5})],
    "label_errors, dsir": [*SURE, ("dsir", {"share": 0.5, "characters": True})],
    "label_errors, s2l": [*SURE, ("s2l", {"share": 0.5, "learning_rate": 1e-3})],
    "alpagasus, ifd": [("alpagasus", {"form": "verdict"}), ("ifd", {"share": 0.5, "alone": "form"})],
    "label_errors, random": [*SURE, ("random", {"share": 0.5})],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--only", nargs="*", default=[*CHAINS], help="selections to measure")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--models", type=Path, help="where taught models are kept; default is a new folder")
    parser.add_argument("--again", action="store_true", help="measure again what is in the file")
    parser.add_argument("--found", action="store_true", help="train nothing: print what each finds of the plant")
    options = parser.parse_args()
    machine = bench.machine()
    with tempfile.TemporaryDirectory() as scratch:
        for seed in options.seeds:
            trial = Trial(seed, options.models or Path(scratch), Path(scratch))
            if options.found:
                for name in options.only:
                    kept, _ = trial.kept(name)
                    told = {key: round(value, 3) for key, value in found(kept).items()}
                    print(f"  {name}: {len(kept)} rows stay, {told}", flush=True)
                continue
            if "random" not in done(options.out, seed):
                write(options.out, machine, trial.baselines())
            for name in options.only:
                if options.again or name not in done(options.out, seed):
                    write(options.out, machine, [trial.measured(name)])


def done(path: Path, seed: int) -> set[str]:
    """What the file already has of a seed; another process may be writing it."""
    return {row["selection"] for row in rows_of(path) if row["seed"] == seed}


def rows_of(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["rows"] if path.exists() else []


def write(path: Path, machine: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Add rows to those in the file, of each selection and seed the newest, and the summary of each selection."""
    newest = {(row["selection"], row["seed"]): row for row in (*rows_of(path), *rows)}
    told = {
        "command": "python scripts/bench/selection_worth.py",
        "machine": machine,
        "sizes": {"rows": ROWS, "share": SHARE, "problems": PROBLEMS, "times": TIMES, **TRAIN},
        "rows": [*newest.values()],
        "table": summary([*newest.values()]),
    }
    new = path.with_suffix(".new")
    new.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
    new.replace(path)


def marks_of(row: dict[str, Any]) -> list[float]:
    """The mark of each held-out problem; a digit is how many of its answers were right."""
    return [int(digit) / len(row["each"]) for digit in row["marks"]]


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each selection the mean accuracy and its gain over random rows, with a 95 % interval.

    Problems are paired. The variance between trainings of one choice, which is that of all choices, is added.
    """
    plain = {row["seed"]: row for row in rows if row["selection"] == "random"}
    several = [row["each"] for row in rows if len(row["each"]) > 1]
    free = sum(len(each) - 1 for each in several)
    apart = sum(variance(each) * (len(each) - 1) for each in several) / max(1, free)
    made = []
    for name in dict.fromkeys(row["selection"] for row in rows):
        own = [row for row in rows if row["selection"] == name]
        marks = [mark for row in own for mark in marks_of(row)]
        pairs = [(row, plain[row["seed"]]) for row in own if row["seed"] in plain]
        new, old = ([mark for pair in pairs for mark in marks_of(pair[side])] for side in (0, 1))
        trained = sum(apart / len(one["each"]) for pair in pairs for one in pair if one["selection"] != "start")
        found: dict[str, float] = {}
        for key in sorted({key for row in own for key in row["found"]}):
            found[key] = fmean(row["found"][key] for row in own if key in row["found"])
        made.append(
            {
                "selection": name,
                "gain": between(statistics.difference(new, old), trained / len(pairs) ** 2) if pairs else None,
                "gains": [fmean(marks_of(one)) - fmean(marks_of(other)) for one, other in pairs],
                "seeds": len(own),
                **{key: fmean(row[key] for row in own) for key in ("kept", "left", "seconds")},
                "accuracy": fmean(marks),
                "found": found,
            }
        )
    return made


def between(gain: Metric, further: float) -> list[float]:
    """A gain with its interval, where another variance is added to that of its problems."""
    half = math.hypot((gain.high - gain.low) / 2, statistics.Z95 * math.sqrt(further))
    return [gain.value, gain.value - half, gain.value + half]


def taught(folder: Path, model: Tiny, task: ChainSums, seed: int) -> Checkpoint:
    """The weights in a folder, which are taught if they are not there."""
    if not folder.exists():
        with tempfile.TemporaryDirectory() as scratch:
            made = model.build(task, Transformers(), Path(scratch) / "build", seed, Silent())
            shutil.copytree(made.path, folder)
    return Checkpoint(path=str(folder))


class Trial:
    """One seed: a taught model, a pool, and what comes of the rows that are kept."""

    def __init__(self, seed: int, models: Path, scratch: Path) -> None:
        self.seed, self.scratch, self.task, self.engine = seed, scratch, ChainSums(gap_share=0.0), Transformers()
        self.count, log = 0, Silent()
        half = Tiny(roles=["solve", "judge"], target_accuracy=0.5, check_every=25, max_steps=2400)
        start = taught(models / f"taught-{seed}", half, self.task, seed)
        judge = taught(models / "judge", LONGER, self.task, 2)
        self.policy = Policy(
            checkpoint=replace(start, parts={"judge": judge.path}),
            engine=self.engine,
            chain=(Greedy(),),
            states=({},),
            desk=Sessions(self.task),
            answer_of=self.task.answer_of,
            seed=seed,
            log=log,
            copies=training.Copies(scratch / f"copies-{seed}", log),
        )
        (scratch / "step").mkdir(exist_ok=True)
        self.context = Context(
            round=1,
            rounds=1,
            seed=seed,
            folder=scratch / "step",
            previous=None,
            policy=self.policy,
            start=start,
            problems=lambda n, number: self.task.problems("train", n, seed),
            selection=lambda n: self.task.problems("selection", n, seed),
            variants=lambda problem, n: self.task.variants(problem, "same", n, seed),
            world=self.task.open,
            verify=self.task.verify,
            answer_of=self.task.answer_of,
            roles=self.task.roles(),
            reward=lambda rollouts: list(rollouts),
            log=log,
        )
        self.pool: list[Any] = [*Planted(problems=ROWS).acquire([], self.context)]
        self.wanted = round(SHARE * len(self.pool))
        self.exam = self.task.problems("gate", PROBLEMS, seed)
        print(f"seed {seed}: {len(self.pool)} rows", flush=True)

    def baselines(self) -> list[dict[str, Any]]:
        """The rows of the start, of all rows, and of the choices that no score is needed for."""
        pool, draw = self.pool, random.Random(self.seed)
        solved: dict[str, float] = {}
        asked = [group[0].prompt for group in by_prompt(pool)]
        for prompt, group in zip(asked, self.policy.sample(asked, 4, Sampling(temperature=1.0)), strict=True):
            solved[prompt.id] = sum(self.task.verify(prompt, one.text) or 0.0 for one in group)
        shuffled = draw.sample(pool, len(pool))
        ranks: dict[str, Callable[[Rollout], float]] = {
            "longest": lambda one: -len(one.text),
            "easiest": lambda one: -solved[one.prompt.id],
            "hardest": lambda one: solved[one.prompt.id],
            "no planted fault": lambda one: one.info["plant"] != "clean",
        }
        rows = [self._row("all rows", pool, 0.0, len(pool))]
        rows += [
            self._row(name, sorted(shuffled, key=key)[: self.wanted], 0.0, self.wanted) for name, key in ranks.items()
        ]
        return [self._row("start", [], 0.0, 0), self._row("random", pool, 0.0, self.wanted, 2 * TIMES), *rows]

    def measured(self, name: str) -> dict[str, Any]:
        """What a chain of selections keeps, at most as many rows as the others, and what comes of training on it."""
        return self._row(name, *self.kept(name), self.wanted)

    def kept(self, name: str) -> tuple[list[Any], float]:
        """What a chain of selections keeps, and its seconds of CPU."""
        rows, begun = self.pool, time.process_time()
        for method, values in CHAINS[name]:
            made = registry.find("selection", method).method(**values)
            rows = list(made.select(rows, self.context.held(made)))
        return rows, time.process_time() - begun

    def _row(self, name: str, kept: Sequence[Any], seconds: float, most: int, times: int = TIMES) -> dict[str, Any]:
        """What training on these rows makes of the start, on other rows of them each time if they are too many."""
        every, own = list[list[float]](), list(kept)
        for place in range(times if own else 1):
            rows = random.Random(f"{self.seed}:{place}").sample(own, most) if len(own) > most else own
            every.append(self._marks(self._trained(rows, place)))
        each, told = [fmean(marks) for marks in every], {key: round(one, 4) for key, one in found(kept).items()}
        print(
            f"  {name}: {len(own)} rows, {seconds:.0f} s, {', '.join(f'{one:.3f}' for one in each)}, {told}", flush=True
        )
        return {
            "selection": name,
            "seed": self.seed,
            "kept": min(most, len(own)),
            "left": len(own),
            "seconds": round(seconds, 2),
            "each": each,
            "marks": "".join(str(round(sum(marks))) for marks in zip(*every, strict=True)),
            "found": told,
        }

    def _trained(self, rows: Sequence[Any], place: int) -> Checkpoint:
        if not rows:
            return self.context.start
        self.count += 1
        schedule = training.Schedule(**TRAIN, seed=10 * self.seed + place)
        job = training.Job(self.context.start, self.scratch / f"trained-{self.seed}-{self.count}", schedule, Silent())
        return training.sft(job, list(rows), kept=False)

    def _marks(self, weights: Checkpoint) -> list[float]:
        groups = self.engine.sample(weights, [one.blind() for one in self.exam], 1, GREEDY, 0, Silent())
        return [self.task.verify(one, group[0].text) or 0.0 for one, group in zip(self.exam, groups, strict=True)]


if __name__ == "__main__":
    main()
