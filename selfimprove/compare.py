"""Finished runs side by side: what each one gained, and whether their champions differ on the sealed problems.

Numbers compare only where they were measured alike. So a run that was examined in another way than the first one is
refused, with the difference. On the same sealed problems champions are compared pair by pair; another seed or another
last round draws other problems, and then as two independent shares. Where two forms overlap by chance that is cautious:
scores on shared problems agree more than independent ones do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove import statistics
from selfimprove.errors import DataError, MissingError, RecipeError, listed
from selfimprove.ledger import Ledger
from selfimprove.records import Message, Metric, Rollout, read_records
from selfimprove.rundir import RunDir, intact, is_signed
from selfimprove.text import split_of

MACHINE = (
    *("batch_size", "cached_models", "device", "tensor_parallel_size", "gpu_memory_utilization", "enforce_eager"),
    *("sleep_level", "max_difference", "concurrency", "timeout", "retries", "backoff"),
    *("prompt_price", "completion_price"),
)
"""Options of an engine that do not change what it samples."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a comparison needs of a finished run."""

    folder: Path
    row: dict[str, Any]
    """Its line of the table."""
    contract: dict[str, Any]
    """What the sealed exam was held with, by dotted name."""
    scores: dict[str, float]
    """The champion's, by sealed problem."""
    worded: dict[str, tuple[list[Message], str | None]]
    """Each sealed problem as it was put, and its reference answer."""


def summary_of(folder: Path) -> dict[str, Any]:
    """summary.json of a finished run.

    Raises:
        MissingError: the run is not finished.
        DataError: the file is damaged.
    """
    path = folder / "summary.json"
    if not path.is_file():
        raise MissingError(f"{folder} is not a finished run: no summary.json. Finish it: selfimprove resume {folder}")
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            raise ValueError("it holds no mapping")
        if "sha256" in found and not is_signed(found):
            raise ValueError("it is not what was written")
        return found
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}. Make it again: selfimprove resume {folder}") from error


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """All runs in a row each, and every run's champion against that of the first.

    Raises:
        RecipeError: there is one run only, or the runs were not measured alike.
        MissingError: a run is not finished.
        DataError: a run is damaged.
    """
    if len(folders) < 2:
        raise RecipeError("a comparison takes two runs or more: selfimprove compare RUN_A RUN_B")
    first, *others = [finished(folder) for folder in folders]
    for other in others:
        different = differences(first, other)
        if different:
            raise RecipeError(f"{other.folder} cannot be compared with {first.folder}: {listed(different)}")
    pairs = [against(first, other) for other in others]
    adjusted = statistics.holm([pair["p"] for pair in pairs])
    comparisons = [{**pair, "p_holm": p} for pair, p in zip(pairs, adjusted, strict=True)]
    return {"runs": [run.row for run in (first, *others)], "comparisons": comparisons}


def finished(folder: Path) -> Finished:
    """Read a run, and check that its exam is what was held.

    The recipe is not composed again: a run stays comparable when a later version of the program has more options.

    Raises:
        MissingError: it is not finished.
        DataError: its exam or its ledger was changed, or its problems are not in the sealed split.
    """
    row, run = _row(folder), RunDir.open(folder)
    last = row["rounds"]
    exam = run.step(last, "sealed")
    if not intact(exam):
        raise DataError(f"{exam} is damaged or missing. Redo it: selfimprove resume {folder}")
    Ledger(folder / "ledger.jsonl").check([(last, "sealed")])
    try:
        contract = _contract(json.loads((folder / "environment.json").read_text())["settings"])
        for past in range(1, last):
            changed = json.loads((run.step(past, "controller") / "next.json").read_text()).get("overrides", {})
            contract |= {name: value for name, value in changed.items() if name.startswith("refinement.")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{folder} is damaged: what its exam was held with cannot be read ({error})") from error
    scores = json.loads((exam / "champion.json").read_text())["scores"]
    foreign = [key for key in scores if split_of(key) != "sealed"]
    if foreign:
        raise DataError(f"{folder} was made with other split bounds: {foreign[0]!r} is no sealed problem here")
    said = [record for record in read_records(exam / "champion.jsonl") if isinstance(record, Rollout)]
    worded = {rollout.prompt.key: (rollout.prompt.prompt, rollout.prompt.answer) for rollout in said}
    return Finished(folder=folder, row=row, contract=contract, scores=scores, worded=worded)


def differences(first: Finished, other: Finished) -> list[str]:
    """What keeps two runs from being compared, each as `name is a, there b`."""
    here, there = other.contract, first.contract
    found = [
        f"{name} is {here[name]!r}, there {there[name]!r}"
        for name in there
        if name in here and here[name] != there[name]  # options of another method say nothing beside its name
    ]
    changed = [key for key, put in other.worded.items() if first.worded.get(key, put) != put]
    if changed:
        found.append(f"{len(changed)} problems are worded or answered differently, for example {changed[0]!r}")
    return found


def against(first: Finished, other: Finished) -> dict[str, Any]:
    """How far the champion of a run is ahead of the first run's."""
    paired = first.scores.keys() == other.scores.keys()
    old = [*first.scores.values()]
    if paired:
        new = [other.scores[key] for key in first.scores]
        delta = statistics.difference(new, old)
        p = statistics.mcnemar_two_sided(*statistics.discordant(new, old))
    else:
        new = [*other.scores.values()]
        delta, p = difference_of_shares(new, old), fisher(new, old)
    return {
        "run": str(other.folder),
        "against": str(first.folder),
        "paired": paired,
        "n": [len(new), len(old)],
        "difference": delta.value,
        "ci": [delta.low, delta.high],
        "p": p,
    }


def difference_of_shares(new: Sequence[float], old: Sequence[float]) -> Metric:
    """The difference of two means of scores in [0, 1] on separate problems: Newcombe (1998), method 10."""
    a, b = (statistics.proportion(sum(scores), len(scores)) for scores in (new, old))
    delta = a.value - b.value
    low = delta - math.hypot(a.value - a.low, b.high - b.value)
    high = delta + math.hypot(a.high - a.value, b.value - b.low)
    return Metric(value=delta, low=low, high=high, n=min(a.n, b.n))


def fisher(new: Sequence[float], old: Sequence[float]) -> float:
    """Exact two-sided test that two policies solve equal shares of separate problems: Fisher (1922)."""
    from scipy.stats import fisher_exact

    solved, n = [sum(score > 0.5 for score in scores) for scores in (new, old)], (len(new), len(old))
    found: Any = fisher_exact([solved, [n[0] - solved[0], n[1] - solved[1]]])
    return float(found.pvalue)


def _row(folder: Path) -> dict[str, Any]:
    """What the table says of a run."""
    summary = summary_of(folder)
    try:
        return {
            "run": str(folder),
            **{name: summary[name] for name in ("recipe", "seed", "rounds")},
            **{name: summary["sealed"][name] for name in ("champion_round", "start", "champion", "delta", "ci", "n")},
        }
    except (KeyError, TypeError) as error:
        raise DataError(f"{folder / 'summary.json'} is damaged. Make it again: selfimprove resume {folder}") from error


def _contract(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide what the sealed score of a policy means."""
    slots = {slot: settings[slot] for slot in ("task", "refinement", "engine", "evaluation")}
    slots["engine"] = {
        name: {option: value for option, value in options.items() if option not in MACHINE}
        for name, options in slots["engine"].items()
        if not options.get("roles")  # it answers in no exam
    }
    named = {slot: ", ".join(methods) for slot, methods in slots.items()}
    options = {
        f"{slot}.{name}.{option}": value
        for slot, methods in slots.items()
        for name, values in methods.items()
        for option, value in values.items()
    }
    return {**named, "sealed_problems": settings["sealed_problems"], **options}
