"""What each one-shot score is worth: the tiny model trained on what it keeps of a pool with planted faults.

For each seed a model is taught until it solves half of its problems. Each selection then keeps the same number of rows
of the same pool (acquisition.planted); where it keeps more, rows are left out at random, where fewer, it has fewer. The
model is trained on them by SFT for the same number of steps and solves held-out problems greedily. Baselines are all
rows, random rows (three draws), the longest, and those of the problems that the model solves most and least often in
four samples. A gain is the accuracy minus that of the random rows of the same seed, with its 95 % interval over the
problems of all seeds. Results go into docs/results/selection_worth.json; rows of selections that are not measured now
stay. `scripts/results_table.py` writes docs/selection.md.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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
from selfimprove.records import Checkpoint, Rollout, by_prompt

RESULT = Path(__file__).resolve().parents[2] / "docs" / "results" / "selection_worth.json"
SHARE = 0.3
ROWS = 400
PROBLEMS = 300
TRAIN = {"learning_rate": 1e-3, "max_steps": 30, "per_device_train_batch_size": 32, "warmup_steps": 4}
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
    "label_errors, dedup, k_center": [
        ("label_errors", {"learning_rate": 1e-3}),
        ("dedup", {}),
        ("k_center", {"share": 0.6}),
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--only", nargs="*", default=[*CHAINS], help="selections to measure")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--models", type=Path, help="where taught models are kept; default is a new folder")
    parser.add_argument("--found", action="store_true", help="train nothing: print what each finds of the plant")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for seed in options.seeds:
            bench = Bench(seed, options.models or Path(scratch), Path(scratch))
            if options.found:
                for name in options.only:
                    kept, _ = bench.kept(name)
                    told = {key: round(value, 3) for key, value in found(kept).items()}
                    print(f"  {name}: {len(kept)} rows stay, {told}", flush=True)
                continue
            known = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
            done = {row["selection"] for row in known if row["seed"] == seed}
            rows = [] if "random" in done else bench.baselines()
            for name in options.only:
                rows.append(bench.measured(name))
                write(options.out, [*known, *rows])


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """The rows, of each selection and seed the newest, and the summary of each selection."""
    newest = {(row["selection"], row["seed"]): row for row in rows}
    path.write_text(
        json.dumps({"rows": [*newest.values()], "table": summary([*newest.values()])}, indent=1, sort_keys=True) + "\n"
    )


def marks_of(row: dict[str, Any]) -> list[float]:
    """The mark of each held-out problem; they are kept as digits, in thirds."""
    return [int(digit) / 3 for digit in row["marks"]]


def digits(marks: Sequence[float]) -> str:
    """Marks as a row keeps them."""
    return "".join(str(round(3 * mark)) for mark in marks)


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each selection the mean accuracy and its gain over random rows, paired by problem, with a 95 % interval."""
    plain = {row["seed"]: marks_of(row) for row in rows if row["selection"] == "random"}
    made = []
    for name in dict.fromkeys(row["selection"] for row in rows):
        own = [row for row in rows if row["selection"] == name]
        marks = [mark for row in own for mark in marks_of(row)]
        pairs = [(marks_of(row), plain[row["seed"]]) for row in own if row["seed"] in plain]
        new, old = ([mark for pair in pairs for mark in pair[side]] for side in (0, 1))
        gain = statistics.difference(new, old) if pairs else None
        finds: dict[str, float] = {}
        for key in sorted({key for row in own for key in row["found"]}):
            values = [row["found"][key] for row in own if key in row["found"]]
            finds[key] = sum(values) / len(values)
        made.append(
            {
                "selection": name,
                "seeds": len(own),
                "kept": sum(row["kept"] for row in own) / len(own),
                "seconds": sum(row["seconds"] for row in own) / len(own),
                "accuracy": sum(marks) / len(marks),
                "gain": [gain.value, gain.low, gain.high] if gain else None,
                "found": finds,
            }
        )
    return made


class Bench:
    """One seed: a taught model, a pool, and what comes of the rows that are kept."""

    def __init__(self, seed: int, models: Path, scratch: Path) -> None:
        self.seed, self.scratch, self.task, self.engine = seed, scratch, ChainSums(gap_share=0.0), Transformers()
        self.count, log = 0, Silent()
        folder = models / f"taught-{seed}"
        if not folder.exists():
            model = Tiny(target_accuracy=0.5, check_every=25, max_steps=1200)
            made = model.build(self.task, self.engine, scratch / f"build-{seed}", seed, log)
            folder.parent.mkdir(parents=True, exist_ok=True)
            Path(made.path).rename(folder)
        start = Checkpoint(path=str(folder))
        self.policy = Policy(
            checkpoint=start,
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
        marks = self._marks(start)
        print(f"seed {seed}: {len(self.pool)} rows, the start solves {sum(marks) / len(marks):.3f}", flush=True)

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
        }
        rows = [self._row("all rows", pool, 0.0)]
        rows += [self._row(name, sorted(shuffled, key=key)[: self.wanted], 0.0) for name, key in ranks.items()]
        drawn = [self._row("random", draw.sample(pool, self.wanted), 0.0) for _ in range(3)]
        marks = [sum(each) / 3 for each in zip(*(marks_of(row) for row in drawn), strict=True)]
        start = {"selection": "start", "seed": self.seed, "kept": 0, "seconds": 0.0, "found": {}}
        return [
            {**start, "marks": digits(self._marks(self.context.start))},
            {**drawn[0], "marks": digits(marks)},
            *rows,
        ]

    def measured(self, name: str) -> dict[str, Any]:
        """What a chain of selections keeps, at most as many rows as the others, and what comes of training on it."""
        kept, seconds = self.kept(name)
        if len(kept) > self.wanted:
            told = found(kept)
            row = self._row(name, random.Random(self.seed).sample(kept, self.wanted), seconds)
            return {**row, "found": told, "left": len(kept)}
        return self._row(name, kept, seconds)

    def kept(self, name: str) -> tuple[list[Any], float]:
        """What a chain of selections keeps, and its seconds of CPU."""
        rows, begun = self.pool, time.process_time()
        for method, values in CHAINS[name]:
            made = registry.find("selection", method).method(**values)
            rows = list(made.select(rows, self.context.held(made)))
        return rows, time.process_time() - begun

    def _row(self, name: str, kept: Sequence[Any], seconds: float) -> dict[str, Any]:
        marks = self._marks(self._trained(kept)) if kept else self._marks(self.context.start)
        row = {"selection": name, "seed": self.seed, "kept": len(kept), "seconds": round(seconds, 2)}
        print(f"  {name}: {len(kept)} rows, {sum(marks) / len(marks):.3f}, {found(kept)}", flush=True)
        return {**row, "marks": digits(marks), "found": {key: round(value, 4) for key, value in found(kept).items()}}

    def _trained(self, rows: Sequence[Any]) -> Checkpoint:
        self.count += 1
        schedule = training.Schedule(**TRAIN, seed=self.seed)
        job = training.Job(self.context.start, self.scratch / f"trained-{self.seed}-{self.count}", schedule, Silent())
        return training.sft(job, list(rows), kept=False)

    def _marks(self, weights: Checkpoint) -> list[float]:
        groups = self.engine.sample(weights, [one.blind() for one in self.exam], 1, GREEDY, 0, Silent())
        return [self.task.verify(one, group[0].text) or 0.0 for one, group in zip(self.exam, groups, strict=True)]


if __name__ == "__main__":
    main()
