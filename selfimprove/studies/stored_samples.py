"""The samples of a replay arena on disk: `samples.jsonl`, a record a line, and `arena.json`, how they were drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.inference.pool import Pool, Sample
from selfimprove.interfaces import Sampling
from selfimprove.records import Prompt, Rollout, changed, read_records, write_records
from selfimprove.store import durable
from selfimprove.store.shape import NUMBER, read

SAMPLES, HEAD = "samples.jsonl", "arena.json"
_SHAPE = {
    "target": str,
    "task": str,
    "seed": int,
    "samplings": [
        {
            **dict.fromkeys(("temperature", "top_p", "min_p", "seconds"), NUMBER),
            **dict.fromkeys(("top_k", "tops"), int),
            "max_completion_length": (int, type(None)),
            "stop": [str],
            "note": [str],
        }
    ],
}


@dataclass(frozen=True)
class Origin:
    """Where stored samples come from."""

    target: str
    task: str
    seed: int
    seconds: dict[Sampling, float]
    """How long a completion took, by how it was drawn."""


def keep(folder: Path, pool: Pool, origin: Origin) -> None:
    """Write the samples of an arena; it can be read again by `load`."""
    rows, samplings = list[Rollout](), list[dict[str, Any]]()
    for place, (sampling, groups) in enumerate(pool.samples.items()):
        values = {name: value for name, value in asdict(sampling).items() if name != "shape"}
        samplings.append({**values, "seconds": origin.seconds[sampling]})
        for group in groups:
            for sample in group:
                one = sample.rollout
                noted = {"noted": one.noted} if one.noted else {}
                note = {"sampling": place, "answer": sample.answer, **noted, **({"tops": one.tops} if one.tops else {})}
                rows.append(changed(one, reward=sample.mark, info={**one.info, **note}))
    durable.mkdir(folder)
    write_records(folder / SAMPLES, rows)
    head = {"target": origin.target, "task": origin.task, "seed": origin.seed, "samplings": samplings}
    durable.write(folder / HEAD, (json.dumps(head, indent=1) + "\n").encode())


def load(folder: Path) -> tuple[Pool, Origin]:
    """The arena that `keep` wrote.

    Raises:
        DataError: a file is missing or damaged.
    """
    way = "Draw the samples again: selfimprove refine TARGET --out DIR"
    head = read(folder / HEAD, _SHAPE, way)
    samplings, seconds = list[Sampling](), dict[Sampling, float]()
    for values in head["samplings"]:
        took = values.pop("seconds")
        known: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in values.items()}
        samplings.append(Sampling(**{name: known[name] for name in asdict(Sampling()) if name in known}))
        seconds[samplings[-1]] = took
    prompts, groups = dict[str, Prompt](), [dict[str, list[Sample]]() for _ in samplings]
    for record in read_records(folder / SAMPLES):
        if not isinstance(record, Rollout) or _odd(record, len(samplings)):
            raise DataError(f"{folder / SAMPLES} is damaged: a line is not a sample. {way}")
        place, answer, own = record.info["sampling"], record.info["answer"], record.info.get("noted")
        info = {name: note for name, note in record.info.items() if name not in ("sampling", "answer", "noted", "tops")}
        plain = changed(record, reward=None, info=info, noted=own or {}, tops=record.info.get("tops", []))
        prompts.setdefault(record.prompt.id, record.prompt)
        groups[place].setdefault(record.prompt.id, []).append(Sample(plain, answer, float(record.reward or 0.0)))
    short = [group for group in groups if group.keys() != prompts.keys()]
    if not prompts or short:
        raise DataError(f"{folder / SAMPLES} is damaged: problems without samples. {way}")
    pool = Pool(list(prompts.values()), head["seed"])
    for sampling, group in zip(samplings, groups, strict=True):
        pool.add(sampling, [group[name] for name in prompts])
    return pool, Origin(head["target"], head["task"], head["seed"], seconds)


def _odd(record: Rollout, samplings: int) -> bool:
    """Whether a record is not what `keep` writes."""
    info: Mapping[str, Any] = record.info
    place, answer = info.get("sampling"), info.get("answer")
    fits = type(place) is int and 0 <= place < samplings and isinstance(answer, str | None)
    return not fits or record.reward is None or not isinstance((record.logprobs or {}).get("count", 0), int | float)
