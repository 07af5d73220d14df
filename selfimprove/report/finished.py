"""The summaries and sealed scores of finished runs, checked before they are used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, MissingError
from selfimprove.loop import provenance, shapes
from selfimprove.loop.origin import began
from selfimprove.loop.step_files import read_report
from selfimprove.problems.splits import split_of
from selfimprove.records import Message, Rollout, each_record
from selfimprove.store.ledger import Ledger
from selfimprove.store.run_folder import RunDir
from selfimprove.store.run_place import is_run, why_no_run
from selfimprove.store.seal import intact, is_signed
from selfimprove.store.shape import read

MACHINE = (
    *("batch_size", "cached_models", "device", "tensor_parallel_size", "gpu_memory_utilization", "enforce_eager"),
    *("sleep_level", "max_difference", "concurrency", "timeout", "retries", "backoff"),
    *("prompt_price", "completion_price"),
)
"""Options of an engine that do not change what it samples."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished run, as `compare` uses it."""

    folder: Path
    row: dict[str, Any]
    """The row of the run in the table."""
    contract: dict[str, Any]
    """The settings that the sealed exam depends on, by dotted name."""
    scores: dict[str, float]
    """The champion's scores, by sealed problem."""
    worded: dict[str, tuple[list[Message], str | None]]
    """The messages of each sealed problem, and its reference answer."""


def summary_of(folder: Path) -> dict[str, Any]:
    """summary.json of a finished run.

    Raises:
        MissingError: the run is not finished.
        DataError: the file is damaged.
    """
    path = folder / "summary.json"
    if not os.path.lexists(path) and not is_run(folder):
        raise MissingError(f"{folder} is not a finished run: {why_no_run(folder)}")
    if not os.path.lexists(path):
        raise MissingError(f"{folder} is not a finished run: no summary.json. Finish it: selfimprove resume {folder}")
    way = f"Make it again: selfimprove resume {folder}"
    found = read(path, shapes.SUMMARY, way)
    if "sha256" in found and not is_signed(found):
        raise DataError(f"{path} is damaged: its checksum is wrong. {way}")
    return found


def finished(folder: Path) -> Finished:
    """Read a finished run and check that its exam is intact.

    The recipe is not composed again, so a run stays comparable if a later version of the program has more options.

    Raises:
        MissingError: the run is not finished.
        DataError: its exam or its ledger was changed, or its problems are not in the sealed split.
    """
    row, run = _row(folder), RunDir.open(folder)
    last = row["rounds"]
    exam = run.step(last, "sealed")
    if not intact(exam):
        raise DataError(f"{exam} is damaged or missing. Redo it: selfimprove resume {folder}")
    Ledger(folder / "ledger.jsonl").check([(last, "sealed")])
    try:
        noted = began(run)
        contract = _contract(noted["settings"], provenance.marking(noted["settings"], noted))
        for one in noted.get("accepted", ()):
            contract |= {name: value for name, value in one["overrides"].items() if name.startswith("refinement.")}
        for past in range(1, last):
            changed = read(run.step(past, "controller") / "next.json", shapes.NEXT).get("overrides", {})
            contract |= {name: value for name, value in changed.items() if name.startswith("refinement.")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, DataError) as error:
        raise DataError(f"{folder} is damaged: the settings of its exam cannot be read ({error})") from error
    scores = read_report(exam, "champion").scores
    if not scores:
        raise DataError(f"{exam} is damaged: its exam has no scores")
    foreign = [key for key in scores if split_of(key) != "sealed"]
    if foreign:
        raise DataError(f"{folder} was made with other split bounds: {foreign[0]!r} is not a sealed problem here")
    worded = {
        record.prompt.key: (record.prompt.prompt, record.prompt.answer)
        for record in each_record(exam / "champion.jsonl")
        if isinstance(record, Rollout)
    }
    return Finished(folder=folder, row=row, contract=contract, scores=scores, worded=worded)


def _row(folder: Path) -> dict[str, Any]:
    """The row of a run in the table."""
    summary = summary_of(folder)
    return {
        "run": str(folder),
        **{name: summary[name] for name in ("recipe", "seed", "rounds")},
        **{name: summary["sealed"][name] for name in ("champion_round", "start", "champion", "delta", "ci", "n")},
    }


def _contract(settings: dict[str, Any], rule: int | None = None) -> dict[str, Any]:
    """The settings that the sealed score of a policy depends on."""
    slots = {slot: settings[slot] for slot in ("task", "refinement", "engine", "evaluation")}
    slots["engine"] = {
        name: {option: value for option, value in options.items() if option not in MACHINE}
        for name, options in slots["engine"].items()
        if not options.get("roles")  # an engine with roles does not answer in the exam
    }
    named = {slot: ", ".join(methods) for slot, methods in slots.items()}
    options = {
        f"{slot}.{name}.{option}": value
        for slot, methods in slots.items()
        for name, values in methods.items()
        for option, value in values.items()
    }
    rules = {} if rule is None else {"the rule that marks answers": rule}
    return {**named, "sealed_problems": settings["sealed_problems"], **options, **rules}
