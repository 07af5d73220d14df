"""Training steps until plain sampling's accuracy, for each sampler, on problems most of which teach nothing.

The pool has three kinds of sums, noted as `level`: easy ones of two or three digits without a hidden table entry, which
the start model solves; learnable ones, which use a hidden entry; hopeless ones, whose reference answer nothing equals.
The native policy gradient (leave-one-out advantages) trains on them with the recipe's reward. Every second step the
greedy accuracy on other learnable problems is measured; an accuracy is the mean of the last three measurements.
Plain sampling takes `--steps` steps; the highest accuracy that it reaches is the target. For each sampler: steps and
completions until the same accuracy, over those that plain sampling takes until it first has it, median of the seeds.
The goal is at most 0.70 of the steps for at least three samplers.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bench

from selfimprove.costs import counted
from selfimprove.logs import Silent

KINDS = {1: 0.5, 2: 0.1, 3: 0.4}
"""Level -> share of the pool: easy, learnable, hopeless."""
SAMPLERS = ("online_band", "learnability", "adastar", "adarft", "sec", "dump")
EVERY = 2
"""Steps between two measurements."""


@dataclass
class Curve:
    """The accuracies of a training, with the steps and completions before each."""

    accuracies: list[float]
    steps: list[int]
    completions: list[int]

    def smooth(self) -> list[float]:
        """The mean of each accuracy and the two before it."""
        return [statistics.fmean(self.accuracies[max(0, i - 2) : i + 1]) for i in range(len(self.accuracies))]

    def until(self, target: float) -> tuple[int, int] | None:
        """Steps and completions until an accuracy, None if it was not reached."""
        for value, steps, completions in zip(self.smooth(), self.steps, self.completions, strict=True):
            if value >= target:
                return steps, completions
        return None


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=24, help="steps of plain sampling, and at most of a sampler")
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS))
    parser.add_argument("--problems", type=int, default=600, help="problems in the pool")
    options = parser.parse_args()
    machine = bench.machine()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("plain", *options.samplers)}
    rows = list[dict[str, Any]]()
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            trial = Trial(Path(folder), seed, options.problems, options.steps)
            plain = trial.run(None)
            target = max(plain.smooth())
            first = plain.until(target)
            assert first is not None
            start = {"start": plain.accuracies[0], "target": target, "curve": plain.accuracies}
            found["plain"].append({"seed": seed, "steps": first[0], "completions": first[1], **start})
            for name in options.samplers:
                made = trial.run(name, target).until(target)
                found[name].append({"seed": seed, "steps": made and made[0], "completions": made and made[1]})
                print(f"seed {seed}: {name} {made} of {first}, target {target:.3f}", flush=True)
        rows = [{"sampler": name, **ratios(found[name], found["plain"], options.steps)} for name in options.samplers]
        bench.save(options.json, machine, rows=rows, runs=found, kinds=KINDS)  # after each seed, for the impatient
    bench.show(list(rows[0]), [list(row.values()) for row in rows])
    good = [row["sampler"] for row in rows if row["steps"] <= 0.7]
    print(f"{len(good)} of {len(rows)} samplers take at most 0.70 of the steps: {', '.join(good) or 'none'}")


def ratios(own: Sequence[dict[str, Any]], plain: Sequence[dict[str, Any]], most: int) -> dict[str, Any]:
    """Medians over the seeds; a sampler that never came there counts as taking `most` steps, and is said so."""
    pairs = list(zip(own, plain, strict=True))
    steps = [(one["steps"] or most) / max(1, other["steps"]) for one, other in pairs]
    costs = [one["completions"] / max(1, other["completions"]) for one, other in pairs if one["completions"]]
    return {
        "steps": statistics.median(steps),
        "lowest": min(steps),
        "highest": max(steps),
        "completions": statistics.median(costs) if costs else None,
        "reached": f"{sum(one['steps'] is not None for one in own)} of {len(own)}",
    }


class Trial:
    """A start model with a planted pool, on which trainings begin alike."""

    def __init__(self, folder: Path, seed: int, problems: int, steps: int) -> None:
        from selfimprove import training
        from selfimprove.loop.given import context_of, policy_of
        from selfimprove.recipe import compose

        recipe, _ = compose.load("dr_grpo")
        self.folder, self.seed, self.steps, self.log = folder, seed, steps, Silent()
        task, engine = recipe.the("task"), recipe.the("engine")
        start = recipe.the("model").build(task, engine, folder / "start", seed, self.log)
        self.pool, self.exam = planted(task, problems, seed), learnable(task, "selection", 200, seed)
        self.context = context_of(
            recipe,
            policy_of(recipe, start, seed, self.log),
            start,
            number=1,
            rounds=1,
            seed=seed,
            train_seed=lambda number: seed,
            selection_seed=seed,
            folder=folder,
            previous=None,
            log=self.log,
        )
        self.task, self.start, self.method = (
            task,
            start,
            training.Clipped(
                learning_rate=2e-4,
                max_steps=steps,
                lr_scheduler_type="constant",
                per_device_train_batch_size=128,
                num_generations=8,
                max_completion_length=48,
            ),
        )

    def run(self, name: str | None, target: float | None = None) -> Curve:
        """One training with a sampler, or without; with a target it ends there."""
        from selfimprove import registry, training
        from selfimprove.training.options import schedule_of

        sampler = None if name is None else registry.find("sampler", name).method()
        context, curve = replace(self.context, sampler=sampler), Curve([], [], [])
        draw = training.answers(self.method, self.pool, context)
        each = self.method.num_generations

        with counted() as meter:

            def look(live: training.Live) -> bool:
                with counted():  # the measurement is not part of the training
                    curve.accuracies.append(self.accuracy(live))
                curve.steps.append(live.done)
                curve.completions.append(meter.cost.completions)
                return target is not None and curve.smooth()[-1] >= target

            def play(live: training.Live) -> Iterator[Sequence[training.Turn]]:
                made = draw(live)
                while not (live.done % EVERY == 0 and look(live)) and live.done < self.steps:
                    turns = next(made)
                    gains = training.lead([turn.reward for turn in turns], each)
                    yield [replace(turn, reward=gain) for turn, gain in zip(turns, gains, strict=True)]

            def advantages(draws: training.Draws) -> Any:
                return training.to_go(draws.rewards)

            schedule = schedule_of(self.method, self.seed)
            job = training.Job(self.start, self.folder / (name or "plain"), schedule, self.log)
            method = replace(self.method, max_steps=self.steps + 1)  # the last accuracy is measured after the last step
            training.reinforce(job, len(self.pool) * each, method, play, advantages)
        return curve

    def accuracy(self, live: Any) -> float:
        """Greedy accuracy on the exam's problems."""
        from selfimprove.inference.chat import prompts_ids
        from selfimprove.interfaces import Sampling
        from selfimprove.training.drawing import draw_each

        asked = [tuple(ids) for ids in prompts_ids(live.tokenizer, [one.prompt for one in self.exam])]
        greedy = Sampling(temperature=0.0, max_completion_length=self.method.max_completion_length)
        made = draw_each(live.model, live.tokenizer, asked, greedy, live.batch, 0, live.mixed)
        texts = [live.tokenizer.decode(one.tokens) for one in made]
        return statistics.fmean(self.task.verify(*pair) or 0.0 for pair in zip(self.exam, texts, strict=True))


def hides(task: Any, problem: Any) -> bool:
    """Whether a problem uses a table entry that no worked example shows."""
    return task._hidden([int(digit) for digit in problem.key.split("+")])


def learnable(task: Any, split: str, n: int, seed: int) -> list[Any]:
    """Problems of a split that use a hidden table entry, noted as level 2."""
    hidden = [one for one in task.problems(split, 20 * n, seed) if hides(task, one)]
    return [replace(one, info={"level": 2}) for one in hidden[:n]]


def planted(task: Any, n: int, seed: int) -> list[Any]:
    """The pool: easy, learnable and hopeless problems, one kind after the other."""
    short = replace(task, min_length=2, max_length=3)
    plain = [one for one in short.problems("train", 4 * n, seed) if not hides(task, one)]
    further = task.problems("train", 2 * n, seed + 1)
    easy, hard, lost = (round(n * KINDS[level]) for level in (1, 2, 3))
    made = [replace(one, info={"level": 1}) for one in (plain * (1 + easy // len(plain)))[:easy]]
    made += learnable(task, "train", hard, seed)
    return made + [replace(one, info={"level": 3}, answer="none") for one in further[:lost]]


if __name__ == "__main__":
    main()
