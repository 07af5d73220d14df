"""Diagnose a model before any training is paid for, or a run between its rounds: `selfimprove diagnose`."""

from __future__ import annotations

import itertools
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from selfimprove import recipe as recipes
from selfimprove import scoring, start_model, steps
from selfimprove.diagnostics import (
    Change,
    Diagnosis,
    Estimate,
    Fit,
    Ladder,
    Verdict,
    compare,
    dynamics,
    marked,
    measure,
    verdicts,
)
from selfimprove.errors import DataError, MissingError, RecipeError
from selfimprove.interfaces import GREEDY, Context, Log, Policy
from selfimprove.metric_log import MetricLog
from selfimprove.model_files import check_folder
from selfimprove.recipe import Recipe
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.rundir import RunDir, write_json, write_text
from selfimprove.stored import Stored

EPS = 0.01
"""How close to its fitted ceiling an accuracy counts as there."""
UNCERTAIN = 0.1
"""Standard error of a fitted ceiling beyond which it is not shown."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a diagnosis found; of a run the last model is the one that is judged."""

    target: str
    task: str
    problems: int
    samples: int
    seed: int
    models: dict[str, Diagnosis]
    """`model`; of a run `start`, `round N` before the last change, and `round N` now."""
    verdicts: list[Verdict]
    change: Change | None
    """From the start to now."""
    fit: Fit | None
    """The dynamics of a run's candidates, from four rounds on."""

    @property
    def now(self) -> Diagnosis:
        """The model that the verdicts are about."""
        return list(self.models.values())[-1]


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """What is to be diagnosed."""

    recipe: Recipe
    models: dict[str, Checkpoint]
    """Oldest first."""
    accuracies: tuple[float, ...] = ()
    """Of the start and of each round's candidate, as the run measured them."""


def diagnose(target: str, overrides: Sequence[str], samples: int, problems: int, log: Log) -> Findings:
    """Sample the selection problems of a task and say what a loop can hope for, so that other splits stay unread.

    Args:
        target: a recipe, whose model of round 0 and reward are diagnosed; a model folder, with the quickstart's task
            unless an override swaps it; or a run folder: its start, and what it trains from now.
        samples: completions of each problem.
        problems: problems at most; a finite task may have fewer.

    Raises:
        RecipeError: there would be too few samples or problems.
        MissingError: there is neither a recipe nor a folder of that name, or the run has no finished round.
        DataError: the folder is not a model, or the task has fewer than two selection problems that can be marked.
    """
    if samples < 4:
        raise RecipeError(
            f"--samples is {samples}; a diagnosis needs at least 4 completions of each problem, better 32"
        )
    if problems < 2:
        raise RecipeError(f"--problems is {problems}; a standard error needs at least 2 problems, better 100")
    with tempfile.TemporaryDirectory(prefix="selfimprove-") as scratch:
        subject = _subject(target, overrides, Path(scratch), log)
        steps.threads(subject.recipe)
        task = subject.recipe.the("task")
        asked = task.problems("selection", problems, subject.recipe.seed)
        try:
            models = {
                name: _sampled(subject.recipe, checkpoint, asked, samples, Path(scratch), log)
                for name, checkpoint in subject.models.items()
            }
        finally:
            subject.recipe.the("engine").close()
    measured = list(models.values())
    first = measured[0] if len(measured) > 1 else None
    fit = dynamics(subject.accuracies, 0.0, 1.0) if len(subject.accuracies) >= 4 else None
    [name] = subject.recipe.task
    return Findings(
        target=target,
        task=name,
        problems=measured[-1].problems,
        samples=samples,
        seed=subject.recipe.seed,
        models=models,
        verdicts=verdicts(measured[-1], first, measured[-2] if first else None, fit),
        change=compare(measured[-1], first) if first else None,
        fit=fit,
    )


def _subject(target: str, overrides: Sequence[str], scratch: Path, log: Log) -> _Subject:
    folder = Path(target)
    if not folder.is_dir():
        return _start(target, overrides, scratch, log)
    if (folder / "recipe.yaml").is_file():
        return _run(folder, overrides)
    if (folder / "champion").exists():
        folder = (folder / "champion").resolve()
    check_folder(folder, thorough=True)
    recipe, _ = recipes.load("quickstart", ["reward=[]", *overrides])
    return _Subject(recipe=recipe, models={"model": Checkpoint(path=str(folder.resolve()))})


def _start(name: str, overrides: Sequence[str], scratch: Path, log: Log) -> _Subject:
    """The model that a run of the recipe would start from, made or taken from the cache as the run would."""
    _, settings = recipes.load(name, overrides)
    run = RunDir.create(scratch / "run")
    write_text(run.root / "recipe.yaml", recipes.runnable(settings))
    write_json(run.root / "environment.json", {"settings": settings})
    stored = Stored(run)
    start_model.build(stored, run.begin(0, "model"), MetricLog(log))
    run.commit(0, "model", {})
    return _Subject(recipe=stored.recipe, models={"model": stored.checkpoint(0)})


def _run(folder: Path, overrides: Sequence[str]) -> _Subject:
    """Start, last model before the present one, and present model of a run, each once."""
    stored = Stored(RunDir.open(folder))
    if not (folder / "metrics.jsonl").is_file():
        raise MissingError(f"{folder} has no finished round yet. Finish one with: selfimprove resume {folder}")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    now = stored.standing(len(lines)).incumbent
    before = stored.standing(now).incumbent if now else 0
    found = [line.get("candidate/accuracy" if line["round"] else "champion/accuracy") for line in lines]
    recipe, _ = recipes.load(folder / "recipe.yaml", overrides)
    return _Subject(
        recipe=recipe,
        models={
            f"round {number}" if number else "start": stored.checkpoint(number) for number in sorted({0, before, now})
        },
        accuracies=tuple(metric["value"] for metric in found if metric),
    )


def _sampled(
    recipe: Recipe, checkpoint: Checkpoint, asked: Sequence[Prompt], samples: int, scratch: Path, log: Log
) -> Diagnosis:
    """Draw, score and mark the completions of one model; every model gets the same seed."""
    task = recipe.the("task")
    policy = Policy(
        checkpoint=checkpoint,
        engine=recipe.the("engine"),
        refinement=recipe.the("refinement"),
        state={},
        answer_of=task.answer_of,
        seed=recipe.seed,
        log=log,
    )
    given = Context(
        round=1,
        rounds=recipe.rounds,
        seed=recipe.seed,
        folder=scratch,
        previous=None,
        policy=policy,
        start=checkpoint,
        problems=lambda n, number: task.problems("train", n, number),
        selection=lambda n: task.problems("selection", n, recipe.seed),
        variants=lambda problem, n: task.variants(problem, "same", n, recipe.seed),
        verify=task.verify,
        answer_of=task.answer_of,
        roles=task.roles(),
        reward=lambda rollouts: scoring.score(rollouts, recipe, given),
        log=log,
    )
    drawn, size = policy.sample(asked, samples), _group_size(recipe, samples)
    scored: list[list[Rollout]] = [[] for _ in asked]
    for place in range(0, samples, size):
        part = iter(given.reward([rollout for group in drawn for rollout in group[place : place + size]]))
        for group in scored:
            group.extend(itertools.islice(part, min(size, samples - place)))
    groups, keys = marked(scored, lambda r: task.verify(r.prompt, r.text), lambda r: task.answer_of(r.text))
    if len(keys) < 2:
        raise DataError(
            f"the task has {len(keys)} selection problems that can be marked, and a diagnosis needs at least 2; "
            "a finite task needs a few hundred problems in all"
        )
    known = [prompt for prompt in asked if prompt.key in set(keys)]
    greedy = [(task.verify(r.prompt, r.text) or 0.0) > 0.5 for [r] in policy.sample(known, 1, GREEDY)]
    return measure(groups, greedy, keys)


def _group_size(recipe: Recipe, samples: int) -> int:
    """As many completions as a run draws of a problem: 8 votes agree by chance more often than 32."""
    drawn = [getattr(method, "samples", 0) for method in recipe.acquisition.values()]
    return min([size for size in drawn if size > 1] + [samples])


# ---- what a person and a machine see -----------------------------------------------------------------------------
def plain(findings: Findings) -> dict[str, Any]:
    """The findings for `--json`: plain values, with null where a number is not finite."""
    models = {
        name: {
            **{key: value for key, value in vars(model).items() if key not in ("groups", "keys")},
            "ladders": [asdict(rung) for rung in model.ladders],
            "scores": [{**asdict(score), "possible": score.possible} for score in model.scores],
        }
        for name, model in findings.models.items()
    }
    return _plain({**vars(findings), "models": models})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _plain(vars(value)) if hasattr(value, "__dataclass_fields__") else value


def tables(findings: Findings) -> list[Table]:
    """The headroom ladder, what each score knows, and the other measures."""
    now = findings.now
    few = " (few: the errors are rough)" if findings.problems < 30 else ""
    title = f"{findings.target}: {findings.problems} selection problems of {findings.task}{few}, {now.samples} samples"
    *lower, top = now.ladders
    headroom = _table(title, ["", *(f"k = {rung.k}" for rung in (*lower, top)), "headroom", "of pass@k"])

    def row(name: str, of: Callable[[Ladder], Estimate], gain: Estimate | None, share: Estimate | None = None) -> None:
        efficiency = "" if share is None else f"{share.value:.0%}"
        headroom.add_row(name, *(f"{of(rung).value:.3f}" for rung in lower), str(of(top)), _signed(gain), efficiency)

    row("pass@1", lambda rung: rung.single, None)
    row("maj@k", lambda rung: rung.majority, top.consensus)
    for name in top.best:
        row(f"best by {name}", lambda rung, name=name: rung.best[name], top.judged[name], top.efficiency[name])
    row("pass@k", lambda rung: rung.any, top.oracle)

    known = _table("what the scores know", ["", "gap", "95 % interval", "relative", "AUROC", "idle"])
    for score in now.scores:
        gap = score.gap
        bounds = f"{gap.absolute.low:+.3f} to {gap.absolute.high:+.3f}"
        cells = (f"{gap.absolute.value:+.3f}", bounds, _text(gap.overall), _text(score.auroc), f"{gap.idle:.0%}")
        known.add_row(score.name, *cells)

    measures = _table("measures", ["", *findings.models])
    for name, values in _measures(list(findings.models.values())):
        measures.add_row(name, *values)
    return [headroom, known, measures]


def _measures(models: Sequence[Diagnosis]) -> list[tuple[str, list[str]]]:
    rows = [
        ("pass@1", [_text(m.ladder.single) for m in models]),
        (f"pass@{models[-1].samples}", [_text(m.ladder.any) for m in models]),
        ("greedy accuracy", [_text(m.greedy) for m in models]),
        ("mean length, tokens", [f"{m.length.value:.1f} ±{m.length.error:.1f}" for m in models]),
        ("truncated", [_text(m.truncated) for m in models]),
        ("with an answer", [_text(m.parsed) for m in models]),
        ("never solved", [_text(m.unsolved) for m in models]),
        ("entropy of answers, nats", [_text(m.answer_entropy) for m in models]),
        ("entropy of tokens, nats", [_text(m.token_entropy) for m in models]),
        ("majority ratio", [_text(m.majority) for m in models]),
        ("majority right", [_text(m.labels[-1].accuracy) for m in models]),
    ]
    for place in (0, -2):
        agreed = [m.labels[place] for m in models]
        cells = [f"{_text(one.accuracy)} of {one.kept.value:.0%}" for one in agreed]
        rows.append((f"where {agreed[-1].agreement:.0%} of {agreed[-1].k} agree", cells))
    if all(m.sharpening for m in models):
        found = [m.sharpening for m in models if m.sharpening]
        rows.append(("most likely drawn one right", [_text(one.accuracy) for one in found]))
        rows.append(("its probability", [_text(one.probability) for one in found]))
        rows.append(("coverage C_cov, log10", [f"{one.coverage:.2f}" for one in found]))
    return rows


def sentences(findings: Findings) -> list[str]:
    """The verdicts, one line each, then what happened between the rounds of a run."""
    now, lines = findings.now, [str(verdict) for verdict in findings.verdicts]
    if not lines:
        lines.append("no verdict: none of the rules of docs/diagnose.md holds")
    if now.ladder.consensus.above(0) and now.beyond and not now.beyond.above(0):
        known = f"maj@{now.samples} - greedy accuracy is {_signed(now.beyond)}"
        lines.append(f"not CONSENSUS-SAFE: majorities know no more than the greedy answer, {known}")
    for score in now.scores:
        if score.name == "reward" and not score.possible:
            known = f"gap {_signed(score.gap.absolute)}, AUROC {_text(score.auroc)}"
            lines.append(f"not POSSIBLE(by reward): the recipe's reward does not tell right from wrong, {known}")
    if findings.change:
        one, many = findings.change.single, findings.change.any
        word, k = findings.change.word, findings.change.k
        lines.append(f"since the start: {word} (pass@1 {_signed(one)}, pass@{k} {_signed(many)})")
    if findings.fit:
        fit = findings.fit
        told = f"accuracy goes to {fit.ceiling:.3f} ±{fit.error:.3f}, within {EPS} of it from round "
        told += f"{math.ceil(fit.rounds_to(EPS))} on"
        if fit.error > UNCERTAIN:
            told = "the rounds do not tell where accuracy goes"
        lines.append(f"dynamics of {fit.rounds} rounds: {told}")
    return lines


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=True)
    return table


def _text(found: Estimate | None) -> str:
    return "-" if found is None else str(found)


def _signed(found: Estimate | None) -> str:
    return "" if found is None else f"{found.value:+.3f} ±{found.error:.3f}"
