"""The loop over rounds. Every arrow between two stages is a folder, so a stopped run goes on where it stopped.

A policy is named by the round that made it (0 is the start); who is champion and incumbent follows from the gates.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from selfimprove import recipe as recipes
from selfimprove import statistics
from selfimprove.errors import DataError, RecipeError, StoppedError
from selfimprove.interfaces import Context, Log, Policy, Round, Stop
from selfimprove.recipe import Recipe, Settings
from selfimprove.records import (
    Checkpoint,
    Decision,
    Metric,
    Preference,
    Prompt,
    Record,
    Report,
    Rollout,
    digest,
    read_records,
    write_records,
)
from selfimprove.rundir import RunDir, write_json, write_text
from selfimprove.text import split_of

FIRST = ("model", "refinement", "evaluation")
"""The steps of round 0, which measures the start."""
STAGES = ("acquisition", "selection", "optimization", "refinement", "evaluation", "gate", "controller")
"""The steps of every other round."""
DISTRIBUTIONS = ("selfimprove", "torch", "transformers", "trl", "tokenizers", "numpy", "hydra-core", "omegaconf")


class StepLog:
    """Passes progress on and keeps the numbers of one step."""

    def __init__(self, log: Log) -> None:
        self.log, self.metrics = log, dict[str, float]()

    def progress(self, done: int, total: int, unit: str = "") -> None:
        self.log.progress(done, total, unit)

    def metric(self, name: str, value: float) -> None:
        self.metrics[name] = value

    def note(self, text: str) -> None:
        self.log.note(text)


class Watcher(Log):
    """What the command line shows of a run."""

    def step(self, number: int, stage: str) -> None: ...
    def round(self, line: dict[str, Any]) -> None: ...


def create(name: str, overrides: Sequence[str], out: Path | None) -> RunDir:
    """Make the folder of a new run and write its recipe and environment.

    Args:
        name: the path of a recipe or the name of a shipped one.
        out: the folder; None makes runs/<recipe>, with a number where that exists.

    Raises:
        UserError: the recipe cannot be used, or the folder is not empty.
    """
    _, settings = recipes.load(name, overrides)
    title = recipes.find(name).stem
    root = out or next(path for path in _candidates(Path("runs") / title) if not path.exists())
    folder = RunDir.create(root)
    write_text(root / "recipe.yaml", recipes.runnable(settings))
    write_json(root / "environment.json", {"recipe": title, "settings": settings, **environment()})
    return folder


def _candidates(path: Path) -> Any:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1


def environment() -> dict[str, Any]:
    """Versions and machine, as stored with a run."""
    from importlib import metadata

    found = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "versions": {name: found.get(name, "missing") for name in DISTRIBUTIONS},
    }


@dataclass
class Standing:
    """Which policies count at the start of a round, as the numbers of the rounds that made them."""

    champion: int = 0
    incumbent: int = 0


class Run:
    """A run on disk: its recipe and what its finished steps say."""

    def __init__(self, folder: RunDir, log: Watcher) -> None:
        self.folder, self.log = folder, log
        self.recipe, self.settings = recipes.load(folder.root / "recipe.yaml")
        self.environment = json.loads((folder.root / "environment.json").read_text())
        changed = _changes(self.environment["settings"], self.settings)
        if changed:
            raise RecipeError(
                f"{folder.root / 'recipe.yaml'} was changed since the run began: {changed[0]}. "
                "Put it back, or start a new run with the changed recipe"
            )
        self._recipes: dict[int, tuple[Recipe, Settings]] = {}

    # ---- the loop ------------------------------------------------------------------------------------------------
    def loop(self, rounds: int) -> dict[str, Any]:
        """Run or finish all rounds and the sealed exam; returns what summary.json holds."""
        self._gpu_settings()
        fingerprint = digest(
            {"seed": self.recipe.seed, "task": self.settings["task"], "engine": self.settings["engine"]}
        )
        reason, last = "", 0
        for number in range(rounds + 1):
            for stage in FIRST if number == 0 else STAGES:
                fingerprint = self._step(number, stage, fingerprint)
                if stage == "selection" and self._kept(number) == 0:
                    reason = f"selection kept none of the records of round {number}; nothing to train on"
                    break
            if reason:
                break
            last = number
            self._publish(number)
            stop = self._stop(number)
            if stop:
                reason = stop
                break
        self._step(last, "sealed", fingerprint)
        self.recipe.the("engine").close()
        return self._summarize(last, reason)

    def _step(self, number: int, stage: str, before: str) -> str:
        """Make sure that a step is done; returns the fingerprint that the next one builds on."""
        fingerprint = digest({"before": before, "stage": stage, "options": self._options(number, stage)})
        if not self.folder.done(number, stage, fingerprint):
            self.log.step(number, stage)
            command = ["step", str(self.folder.root), str(number), stage, "--fingerprint", fingerprint]
            self.recipe.the("launcher").launch(lambda: self.perform(number, stage, fingerprint), command)
        return fingerprint

    def perform(self, number: int, stage: str, fingerprint: str) -> None:
        """Carry out one step from what lies on disk, and commit it."""
        began = time.monotonic()
        log = StepLog(self.log)
        partial = self.folder.begin(number, stage)
        try:
            if stage == "model":
                counts = self._model(partial, log)
            else:
                counts = STEPS[stage](self, self._context(number, stage, partial, log))
        except KeyboardInterrupt:
            self.folder.discard(number, stage)
            raise
        notes = {
            "round": number,
            "stage": stage,
            "seconds": round(time.monotonic() - began, 3),
            "counts": counts,
            "metrics": log.metrics,
        }
        self.folder.commit(number, stage, fingerprint, notes)

    def _options(self, number: int, stage: str) -> Any:
        """The part of the recipe that a step's result depends on."""
        settings = self.at(number)[1]
        held_out = {name: self.settings[name] for name in ("gate_problems", "sealed_problems", "evaluation")}
        return {
            "acquisition": {name: settings[name] for name in ("acquisition", "reward", "task")},
            "evaluation": held_out,
            "sealed": held_out,
            "gate": {"gate": self.settings["gate"], "rounds": self.recipe.rounds},
        }.get(stage) or settings[stage]

    # ---- what is where -------------------------------------------------------------------------------------------
    def at(self, number: int) -> tuple[Recipe, Settings]:
        """The recipe in force in a round: the run's own with the overrides of its controller."""
        overrides: dict[str, Any] = {}
        for past in range(1, number):
            step = self.folder.step(past, "controller") / "next.json"
            if step.exists():
                overrides |= json.loads(step.read_text()).get("overrides", {})
        if not overrides:
            return self.recipe, self.settings
        if number not in self._recipes:
            values = [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
            changed, settings = recipes.load(self.folder.root / "recipe.yaml", values)
            self._recipes[number] = replace(changed, engine=self.recipe.engine), settings
        return self._recipes[number]

    def standing(self, number: int) -> Standing:
        """Champion and incumbent at the start of a round, by the decisions of the rounds before."""
        now = Standing()
        for past in range(1, number):
            verdict = self.decision(past).verdict
            if verdict == "certify":
                now = Standing(past, past)
            elif verdict == "accept":
                now.incumbent = past
            elif verdict == "reject":
                now.incumbent = now.champion
        return now

    def decision(self, number: int) -> Decision:
        """The gate's decision of a finished round."""
        return Decision(**json.loads((self.folder.step(number, "gate") / "decision.json").read_text()))

    def checkpoint(self, number: int) -> Checkpoint:
        """The weights that a round made."""
        step = self.folder.step(number, "optimization" if number else "model")
        stored = json.loads((step / "checkpoint.json").read_text())
        path = Path(stored["path"])
        return Checkpoint(**{**stored, "path": str(path if path.is_absolute() else (step / path).resolve())})

    def policy(self, maker: int, number: int, seed: int, log: Log) -> Policy:
        """The policy that round `maker` made, as it is used in round `number`."""
        state = self.folder.step(maker, "refinement") / "state.json"
        current = self.at(number)[0]
        return Policy(
            checkpoint=self.checkpoint(maker),
            engine=self.recipe.the("engine"),
            refinement=current.the("refinement"),
            state=json.loads(state.read_text()) if state.exists() else {},
            answer_of=current.the("task").answer_of,
            seed=seed,
            log=log,
        )

    def report(self, number: int, who: str, stage: str = "evaluation") -> Report:
        """What a finished evaluation says of the champion, the incumbent or the candidate."""
        folder = self.folder.step(number, stage)
        stored = json.loads((folder / f"{who}.json").read_text())
        metrics = {name: Metric(**value) for name, value in stored["metrics"].items()}
        rollouts = read_records(folder / f"{who}.jsonl")
        return Report(metrics=metrics, scores=stored["scores"], rollouts=tuple(rollouts))  # type: ignore[arg-type]

    def history(self, number: int) -> list[Round]:
        """The finished rounds before a round."""
        return [self._round(past, self.decision(past) if past else None) for past in range(number)]

    def _round(self, number: int, decision: Decision | None) -> Round:
        counts: dict[str, float] = {}
        for stage in ("acquisition", "selection") if number else ():
            counts |= {f"{stage}/{k}": v for k, v in self.folder.manifest(number, stage)["counts"].items()}
        return Round(
            round=number,
            rounds=self.recipe.rounds,
            champion=self.report(number, "champion"),
            candidate=self.report(number, "candidate") if number else None,
            decision=decision,
            counts=counts,
        )

    def _seed(self, *place: Any) -> int:
        return int(digest([self.recipe.seed, *place])[:8], 16)

    def _context(self, number: int, stage: str, partial: Path, log: StepLog) -> Context:
        current = self.at(number)[0]
        task = current.the("task")
        seed = self._seed(number, stage)
        before = self.folder.step(number - 1, stage)

        def problems(n: int | None, of_round: int) -> list[Prompt]:
            return task.problems("train", n, self._seed("train", of_round))

        def reward(rollouts: Sequence[Rollout]) -> list[Rollout]:
            return _score(rollouts, current, context)

        context = Context(
            round=number,
            rounds=self.recipe.rounds,
            seed=seed,
            folder=partial,
            previous=before if before.exists() else None,
            policy=self.policy(self.standing(number).incumbent, number, seed, log),
            start=self.checkpoint(0),
            problems=problems,
            verify=task.verify,
            answer_of=task.answer_of,
            roles=task.roles(),
            reward=reward,
            log=log,
        )
        return context

    # ---- the steps; each writes in context.folder and returns its counts -------------------------------------------
    def _model(self, folder: Path, log: StepLog) -> dict[str, float]:
        task, engine, model = (self.recipe.the(slot) for slot in ("task", "engine", "model"))
        _write_checkpoint(model.build(task, engine, folder, self._seed("model"), log), folder)
        return {}

    def _acquisition(self, context: Context) -> dict[str, float]:
        current = self.at(context.round)[0]
        records: Sequence[Record] = []
        for method in current.acquisition.values():
            records = method.acquire(records, context)
        clean = [record for record in records if _trainable(record)]
        if len(clean) < len(records):
            context.log.note(f"{len(records) - len(clean)} records of held-out problems were dropped")
        scored = _score_records(clean, context)
        write_records(context.folder / "output.jsonl", scored)
        tokens = sum((r.logprobs or {}).get("count", 0.0) for r in scored if isinstance(r, Rollout))
        return {"records": len(scored), "held_out_dropped": len(records) - len(clean), "tokens": tokens}

    def _selection(self, context: Context) -> dict[str, float]:
        current = self.at(context.round)[0]
        given = read_records(self.folder.step(context.round, "acquisition") / "output.jsonl")
        records: Sequence[Record] = given
        for method in current.selection.values():
            records = method.select(records, context)
        write_records(context.folder / "output.jsonl", records)
        counts: dict[str, float] = {"given": len(given), "kept": len(records)}
        marks = [context.verify(record.prompt, text) for record in records if (text := _taught(record)) is not None]
        known = [mark for mark in marks if mark is not None]
        return counts | ({"label_precision": sum(known) / len(known)} if known else {})

    def _optimization(self, context: Context) -> dict[str, float]:
        records = read_records(self.folder.step(context.round, "selection") / "output.jsonl")
        checkpoint = self.at(context.round)[0].the("optimization").optimize(records, context)
        _write_checkpoint(checkpoint, context.folder)
        return {"records": len(records)}

    def _refinement(self, context: Context) -> dict[str, float]:
        candidate = replace(context, policy=self.policy(context.round, context.round, context.seed, context.log))
        write_json(context.folder / "state.json", self.at(context.round)[0].the("refinement").fit(candidate))
        return {}

    def _evaluation(self, context: Context) -> dict[str, float]:
        task, number = self.recipe.the("task"), context.round
        problems = task.problems(
            "gate", self.recipe.gate_problems, self._seed("gate"), (number, max(number, self.recipe.rounds) + 1)
        )
        if not problems:
            raise DataError("the task has no gate problems left: its gate split is too small for so many rounds")
        standing = self.standing(number)
        who = {"champion": standing.champion}
        if number:
            who |= {"incumbent": standing.incumbent, "candidate": number}
        self._evaluate(who, problems, context)
        return {"problems": len(problems)}

    def _sealed(self, context: Context) -> dict[str, float]:
        problems = self.recipe.the("task").problems(
            "sealed", self.recipe.sealed_problems, self._seed("sealed", context.round)
        )
        if not problems:
            raise DataError(
                "the task has no sealed problems: it needs about ten problems for each one in the sealed split"
            )
        champion = self.standing(context.round + 1).champion
        self._evaluate({"start": 0, "champion": champion}, problems, context)
        return {"problems": len(problems)}

    def _evaluate(self, who: dict[str, int], problems: Sequence[Prompt], context: Context) -> None:
        """Score each policy once on the same problems with the same seed, and write a report for each role."""
        verify = self.recipe.the("task").verify
        done: dict[int, Report] = {}
        for name, maker in who.items():
            if maker not in done:
                policy = self.policy(maker, context.round, context.seed, context.log)
                done[maker] = _join([e.evaluate(policy, problems, verify) for e in self.recipe.evaluation.values()])
            report = done[maker]
            metrics = {key: asdict(metric) for key, metric in report.metrics.items()}
            write_json(context.folder / f"{name}.json", {"metrics": metrics, "scores": report.scores})
            write_records(context.folder / f"{name}.jsonl", report.rollouts)

    def _gate(self, context: Context) -> dict[str, float]:
        champion, incumbent, candidate = (
            self.report(context.round, who) for who in ("champion", "incumbent", "candidate")
        )
        history = self.history(context.round)
        decision = self.recipe.the("gate").decide(champion, incumbent, candidate, history, self.recipe.rounds)
        write_json(context.folder / "decision.json", asdict(decision))
        return {}

    def _controller(self, context: Context) -> dict[str, float]:
        current, settings = self.at(context.round)
        verdict = current.the("controller").next(self.history(context.round + 1), settings)
        if isinstance(verdict, Stop):
            write_json(context.folder / "next.json", {"stop": verdict.reason})
        else:
            write_json(context.folder / "next.json", {"overrides": verdict})
        return {}

    # ---- what the user gets --------------------------------------------------------------------------------------
    def _kept(self, number: int) -> float:
        return self.folder.manifest(number, "selection")["counts"]["kept"]

    def _stop(self, number: int) -> str:
        if not number:
            return ""
        return json.loads((self.folder.step(number, "controller") / "next.json").read_text()).get("stop", "")

    def line(self, number: int) -> dict[str, Any]:
        """One finished round as metrics.jsonl has it."""
        stages = FIRST if number == 0 else STAGES
        manifests = {stage: self.folder.manifest(number, stage) for stage in stages}
        line: dict[str, Any] = {"round": number}
        for who in ("champion", "candidate") if number else ("champion",):
            for key, metric in self.report(number, who).metrics.items():
                line[f"{who}/{key}"] = {k: round(v, 6) if k != "n" else v for k, v in asdict(metric).items()}
        if number:
            line["decision"] = asdict(self.decision(number))
        for stage in stages:
            line |= {f"{stage}/{key}": value for key, value in manifests[stage]["counts"].items()}
            line |= manifests[stage]["metrics"]
        line["seconds"] = {stage: manifests[stage]["seconds"] for stage in stages}
        return line

    def _publish(self, number: int) -> None:
        """After a round: metrics.jsonl (always rebuilt from the steps), the champion link, the line on the screen."""
        lines = [self.line(past) for past in range(number + 1)]
        write_text(self.folder.root / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        _tensorboard(self.folder.root, lines[-1])
        self.folder.point("champion", Path(self.checkpoint(self.standing(number + 1).champion).path))
        self.log.round(lines[-1])

    def _summarize(self, last: int, reason: str) -> dict[str, Any]:
        start, champion = self.report(last, "start", "sealed"), self.report(last, "champion", "sealed")
        keys = list(start.scores)
        new, old = [champion.scores[key] for key in keys], [start.scores[key] for key in keys]
        delta, (better, worse) = statistics.difference(new, old), statistics.discordant(new, old)
        lines = [self.line(number) for number in range(last + 1)]
        seconds = sum(sum(line["seconds"].values()) for line in lines)
        sealed = {
            "n": len(keys),
            "start": sum(old) / len(keys),
            "champion": sum(new) / len(keys),
            "delta": delta.value,
            "ci": [delta.low, delta.high],
            "p": statistics.mcnemar_two_sided(better, worse),
            "champion_round": self.standing(last + 1).champion,
            "reads": len(list(self.folder.root.glob("round_*/sealed"))),
        }
        summary = {
            "recipe": self.environment["recipe"],
            "seed": self.recipe.seed,
            "rounds": last,
            "seconds": round(seconds + self.folder.manifest(last, "sealed")["seconds"], 3),
            "verdict": verdict(sealed),
            "stopped": reason,
            "sealed": sealed,
            "per_round": lines,
        }
        write_json(self.folder.root / "summary.json", summary)
        return summary

    def _gpu_settings(self) -> None:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; makes matmuls repeatable


STEPS: dict[str, Callable[[Run, Context], dict[str, float]]] = {
    stage: getattr(Run, f"_{stage}") for stage in (*STAGES, "sealed")
}


def verdict(sealed: dict[str, Any]) -> str:
    """The outcome of the sealed exam in one sentence."""
    points, (low, high) = 100 * sealed["delta"], (100 * bound for bound in sealed["ci"])
    p = f"exact p = {sealed['p']:.2g}" if sealed["p"] >= 1e-6 else "exact p < 1e-6"
    again = f", sealed problems read {sealed['reads']} times" if sealed["reads"] > 1 else ""
    if sealed["champion_round"] == 0:
        return (
            f"no significant gain: the start stays champion, accuracy {sealed['start']:.2f} (n = {sealed['n']}{again})"
        )
    span = f"95 % CI {low:+.1f} to {high:+.1f}, {p}, n = {sealed['n']}{again}"
    change = f"accuracy {sealed['start']:.2f} -> {sealed['champion']:.2f} ({points:+.1f} points, {span})"
    return change if low > 0 and sealed["p"] < 0.05 else f"no significant gain: {change}"


def _join(reports: Sequence[Report]) -> Report:
    """One report of several evaluations; the paired scores and rollouts are those of the first that has them."""
    metrics = {key: metric for report in reports for key, metric in report.metrics.items()}
    scored = next((report for report in reports if report.scores), reports[0])
    return Report(metrics=metrics, scores=scored.scores, rollouts=scored.rollouts)


def _trainable(record: Record) -> bool:
    """False for a problem whose key falls into a held-out split, whoever made it."""
    prompt = record if isinstance(record, Prompt) else getattr(record, "prompt", None)
    return prompt is None or split_of(prompt.key) == "train"


def _taught(record: Record) -> str | None:
    """The text that training on a record would make likelier."""
    if isinstance(record, Rollout):
        return record.text
    return record.chosen[-1]["content"] if isinstance(record, Preference) else None


def _score_records(records: Sequence[Record], context: Context) -> list[Record]:
    """Every rollout that leaves acquisition without a score gets one."""
    bare = [record for record in records if isinstance(record, Rollout) and record.score is None]
    scored = iter(context.reward(bare))
    return [next(scored) if isinstance(record, Rollout) and record.score is None else record for record in records]


def _score(rollouts: Sequence[Rollout], recipe: Recipe, context: Context) -> list[Rollout]:
    """Rollouts with the weighted sum of the recipe's rewards; None where a reward that counts cannot score."""
    places: dict[str, list[int]] = {}
    for place, rollout in enumerate(rollouts):
        places.setdefault(rollout.prompt.id, []).append(place)
    groups = [[rollouts[place] for place in group] for group in places.values()]
    order = [place for group in places.values() for place in group]
    totals: list[float | None] = [0.0 if recipe.reward else None] * len(rollouts)
    parts: list[dict[str, float | None]] = [{} for _ in rollouts]
    for name, reward in recipe.reward.items():
        marks = [mark for group in reward.score(groups, context) for mark in group]
        for place, mark in zip(order, marks, strict=True):
            parts[place][name] = mark
            total = totals[place]
            if reward.weight:
                totals[place] = None if mark is None or total is None else total + reward.weight * mark
    shown = len(recipe.reward) > 1
    return [
        replace(rollout, score=total, info={**rollout.info, "rewards": part} if shown else rollout.info)
        for rollout, total, part in zip(rollouts, totals, parts, strict=True)
    ]


def _write_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Note where a step's weights are, relative to the step if they lie in it, so that a run can be moved."""
    path = Path(checkpoint.path)
    stored = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
    write_json(folder / "checkpoint.json", {**asdict(checkpoint), "path": stored})


def _changes(before: Any, now: Any, where: str = "") -> list[str]:
    """The differences between two recipes, as `key was a, is b`."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return [
            change for key in keys for change in _changes(before.get(key), now.get(key), f"{where}.{key}".lstrip("."))
        ]
    return [] if before == now else [f"{where} was {before!r}, is {now!r}"]


def _tensorboard(root: Path, line: dict[str, Any]) -> None:
    """The numbers of a round for TensorBoard, if it is installed."""
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        return
    from torch.utils.tensorboard.writer import SummaryWriter

    with SummaryWriter(str(root / "tensorboard")) as writer:
        for key, value in line.items():
            number = value.get("value") if isinstance(value, dict) else value
            if isinstance(number, int | float) and key != "round":
                writer.add_scalar(key, number, line["round"])


def finish(run: Run, rounds: int) -> dict[str, Any]:
    """Run all rounds under the lock of the folder.

    Raises:
        StoppedError: there was nothing to train on; the sealed exam was still held.
    """
    with run.folder.lock():
        summary = run.loop(rounds)
    if "nothing to train on" in summary["stopped"]:
        raise StoppedError(f"{summary['stopped']}. {summary['verdict']}. Try a lower threshold or more samples")
    return summary
