"""Where a row of training data came from, what each selection did with it, and in which rounds it was trained."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selfimprove.errors import EngineError, MissingError, RecipeError, UserError
from selfimprove.foreign import whole_number
from selfimprove.interfaces import Ask, Engine, Log
from selfimprove.logs import Silent
from selfimprove.loop import stages, steps
from selfimprove.loop.history import Stored
from selfimprove.loop.lineage import signed
from selfimprove.problems.splits import split_of
from selfimprove.recipe.legs import Leg, legs_of
from selfimprove.records import Checkpoint, Document, Preference, Prompt, Record, Rollout, each_record
from selfimprove.training.replay import DATA

SHORTEST = 6
"""Fewest letters of an id that name a record."""
Place = tuple[int, str, int]
"""Round, step and line, from 1, of a record."""


def why(stored: Stored, sample: str) -> dict[str, Any]:
    """What the run knows of a row.

    Args:
        sample: its id or the beginning of it, or ROUND:LINE, a line of what that round selected, from 1.

    Raises:
        MissingError: the run has no such row.
        RecipeError: the beginning of the id fits several rows.
    """
    place, record = _found(stored, sample)
    number, step, _ = place
    leg = next(leg for leg in legs_of(stored.at(number)[0]) if step in (leg.step("acquisition"), leg.step("selection")))
    derived = step == leg.step("selection") and not _same(stored, number, leg.step("acquisition"), record)
    family = _family(stored, record, number, leg)
    trained = [past for past in _rounds(stored) if past >= number and _trains(stored, past, leg, record.id)]
    return {
        "id": record.id,
        "kind": type(record).__name__,
        **dict(zip(("round", "step", "line"), place, strict=True)),
        **_content(stored, record),
        **_source(stored, record),
        "parents": [_parent(stored, one, family) for one in record.parents],
        "selection": [] if derived else _selected(stored, number, leg, record),
        "trained": [_candidate(stored, past) for past in trained],
    }


def _found(stored: Stored, sample: str) -> tuple[Place, Record]:
    """The first place of a row: what selections gave comes before what was acquired."""
    if position := re.fullmatch(r"(\d+):(\d+)", sample):
        number, line = int(position[1]), int(position[2])
        for at, record in enumerate(_records(stored, number, "selection"), 1):
            if at == line:
                return (number, "selection", line), record
        raise MissingError(f"{stored.folder.root} has no row {sample}: round {number} selected fewer. Name ROUND:LINE")
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST},16}}", sample):
        raise RecipeError(
            f"{sample!r} names no row: give the id of a record, or at least {SHORTEST} of its digits, or ROUND:LINE of "
            "what a round selected, such as 2:1"
        )
    names, seen = ("selection", "acquisition"), dict[str, tuple[Place, Record]]()
    for stage in names:
        for number in _rounds(stored):
            for step in (name for name in stored.steps(number) if stages.stage_of(name).name == stage):
                for line, record in enumerate(_records(stored, number, step), 1):
                    if record.id.startswith(sample):
                        seen.setdefault(record.id, ((number, step, line), record))
        if len(seen) > 1:
            raise RecipeError(f"{sample} fits {len(seen)} rows: {', '.join(sorted(seen)[:4])}; give more digits")
        if seen:
            return next(iter(seen.values()))
    raise MissingError(
        f"{stored.folder.root} has no row {sample} among what its rounds acquired and selected. The first row that "
        f"round 1 selected: selfimprove why {stored.folder.root} 1:1"
    )


def _rounds(stored: Stored) -> list[int]:
    """The rounds after round 0 that have begun, in order."""
    found = (path.name.removeprefix("round_") for path in stored.folder.root.glob("round_*"))
    return sorted(number for number in map(int, found) if number)


def _records(stored: Stored, number: int, step: str, file: str = "output.jsonl") -> Iterator[Record]:
    """The records of a finished step; none if it is not finished."""
    path = stored.folder.step(number, step) / file
    return each_record(path) if path.exists() else iter(())


def _content(stored: Stored, record: Record) -> dict[str, Any]:
    """What a row says: its problem, what was answered, its reward, and the mark of the task's own rule."""
    if isinstance(record, Document):
        return {"text": record.text}
    prompt = record if isinstance(record, Prompt) else record.prompt
    said: dict[str, Any] = {"problem": prompt.prompt, "key": prompt.key, "split": split_of(prompt.key)}
    if isinstance(record, Rollout):
        said |= {"completion": record.completion, "role": record.role, "reward": record.reward}
        said |= {"rewards": record.info["rewards"]} if "rewards" in record.info else {}
        said |= {"mark": _mark(stored, record), "truncated": record.truncated}
    if isinstance(record, Preference):
        said |= {"chosen": record.chosen, "rejected": record.rejected, "role": record.role}
        said |= {"mark": _mark(stored, record.sides[0]), "rejected_mark": _mark(stored, record.sides[1])}
    return said


def _mark(stored: Stored, rollout: Rollout) -> float | None:
    """The mark of the task's own rule; None if it gives none, or cannot be asked here."""
    try:
        return stored.recipe.the("task").verify(rollout.prompt, rollout.text)
    except UserError:
        return None


def _source(stored: Stored, record: Record) -> dict[str, Any]:
    """The method and the round that made a record, and the round whose weights that method used."""
    method, _, number = record.source.rpartition("@")
    if (now := whole_number(number)) is None:
        return {"source": {"method": record.source, "round": None}}
    maker = stored.standing(now).incumbent
    recipe = stored.at(now)[0]
    slots = {"acquisition": recipe.acquisition, "selection": recipe.selection}
    slot = next((name for name, methods in slots.items() if method in methods), None)
    found: dict[str, Any] = {"method": method, "slot": slot, "round": now}
    answered = isinstance(record, Rollout | Preference)  # a problem of the task was drawn by no model
    if slot == "acquisition" and (answered or recipe.acquisition[method].needs().roles):
        found |= {"weights_of_round": maker, "engine": next(iter(stored.recipe.engine))}
    return {"source": found}


def _family(stored: Stored, record: Record, number: int, leg: Leg) -> dict[str, Record]:
    """The records of a round by id, and the problems that they answer, where the parents of a row are looked up."""
    wanted, family = set(record.parents), dict[str, Record]()
    for past in range(number, 0, -1):
        for step in (leg.step("acquisition"), leg.step("selection")):
            for one in _records(stored, past, step) if wanted else ():
                prompt = None if isinstance(one, Document | Prompt) else one.prompt
                for known in (one, prompt):
                    if known is not None and known.id in wanted:
                        family[known.id] = known
        wanted -= family.keys()
    if not isinstance(record, Document | Prompt):
        family.setdefault(record.prompt.id, record.prompt)
    return family


def _parent(stored: Stored, known: str, family: dict[str, Record]) -> dict[str, Any]:
    record = family.get(known)
    if record is None:  # of an intermediate method in a chain, whose records are not kept
        return {"id": known, "kind": None}
    return {"id": known, "kind": type(record).__name__, **_source(stored, record), **_content(stored, record)}


def _same(stored: Stored, number: int, step: str, record: Record) -> bool:
    """Whether a step gave the very record."""
    return any(one.id == record.id for one in _records(stored, number, step))


def _selected(stored: Stored, number: int, leg: Leg, record: Record) -> list[dict[str, str]]:
    """What each selection of the round did with an acquired row.

    Only the result of the chain is on disk. The methods are run again on the records, until one asks the model; if
    that does not give what is on disk, only the result is told.
    """
    name = leg.step("selection")
    if not (stored.folder.step(number, name) / "output.jsonl").exists():
        return []
    kept = [*_records(stored, number, name)]
    chain = stored.at(number)[0].selection
    result = {"method": ", ".join(chain) or "none", "did": _did(record, kept)}
    told = list[dict[str, str]]()
    with _without_model(stored), TemporaryDirectory() as scratch:
        given = steps.context(stored, number, name, Path(scratch), Silent())
        records: Sequence[Any] = leg.own([*_records(stored, number, leg.step("acquisition"))])
        for method_name, method in chain.items():
            try:
                records = signed(method.select(records, given.held(method)), method_name, number)
            except UserError:  # it asks the model; what it gave is not on disk unless it is the last
                return [*told, {"method": f"{method_name} and what follows", "did": _did(record, kept)}]
            told.append({"method": method_name, "did": _did(record, records)})
            if told[-1]["did"] == DROPPED:
                break
    same = told and (told[-1]["did"] == DROPPED) == (result["did"] == DROPPED)
    return told if same else [result]


class _Closed(Engine):
    """The engine where no model is loaded: it refuses."""

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        """Refuse."""
        raise EngineError("no model is loaded here")

    def logprobs_of(self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], *given: Any, **more: Any) -> Any:
        """Refuse."""
        raise EngineError("no model is loaded here")


@contextmanager
def _without_model(stored: Stored) -> Iterator[None]:
    """Inside, every method that asks the model is refused."""
    recipe = stored.recipe
    stored.recipe = replace(recipe, engine={name: _Closed(roles=one.roles) for name, one in recipe.engine.items()})
    try:
        yield
    finally:
        stored.recipe = recipe


DROPPED = "dropped it"


def _did(record: Record, records: Sequence[Record]) -> str:
    """What became of a record among those that a selection gave."""
    if any(one.id == record.id for one in records):
        return "kept it"
    made = [one.id for one in records if record.id in one.parents]
    more = f" and {len(made) - 1} more" if len(made) > 1 else ""
    return f"made {made[0]}{more} of it" if made else DROPPED


def _trains(stored: Stored, number: int, leg: Leg, known: str) -> bool:
    """Whether a round trained on a row. Where rows of earlier rounds take part, all are beside the weights."""
    optimization, selection = leg.step("optimization"), leg.step("selection")
    beside = stored.folder.step(number, optimization) / DATA
    rows = _records(stored, number, optimization, DATA) if beside.exists() else _records(stored, number, selection)
    return (stored.folder.step(number, optimization)).exists() and any(
        known == row.id or known in row.parents for row in rows
    )


def _candidate(stored: Stored, number: int) -> dict[str, Any]:
    """The candidate that a round trained, and what the gate said of it."""
    decided = "gate" in stored.folder.finished(number)
    return {"round": number, "verdict": stored.decision(number).verdict if decided else None}


def told(found: dict[str, Any]) -> Iterator[str]:
    """What `why` found, as lines."""
    where = f"line {found['line']} of {found['step']} in round {found['round']}"
    yield f"row {found['id']}, {found['kind'].lower()}, {where}"
    yield from _said(found)
    yield from _made(found["source"])
    for parent in found["parents"]:
        yield f"parent {parent['id']}: " + (
            f"{parent['kind'].lower()}" if parent["kind"] else "of a step inside a chain, not kept"
        )
        yield from (f"  {line}" for line in (*_said(parent), *(_made(parent["source"]) if parent["kind"] else ())))
    for one in found["selection"]:
        yield f"selection {one['method']}: {one['did']}"
    rounds = [f"round {one['round']} ({one['verdict'] or 'not decided yet'})" for one in found["trained"]]
    yield f"trained in {', '.join(rounds)}" if rounds else "not trained on"


def _said(found: dict[str, Any]) -> Iterator[str]:
    """The texts of a row and what they earned."""
    if "problem" in found:
        yield f"problem   {_messages(found['problem'])}"
    for name in ("completion", "chosen", "rejected"):
        if name in found:
            yield f"{name:<9} {_messages(found[name])}"
    if "text" in found:
        yield f"text      {found['text']}"
    if "reward" in found:
        reward = "none" if found["reward"] is None else f"{found['reward']:g}"
        parts = ", ".join(f"{name} {value}" for name, value in found.get("rewards", {}).items())
        yield f"reward    {reward}{f' ({parts})' if parts else ''}{', cut off' if found['truncated'] else ''}"
    if found.get("mark") is not None:
        yield f"mark      {'right' if found['mark'] > 0.5 else 'WRONG'} by the task's own rule"


def _messages(messages: Sequence[dict[str, Any]]) -> str:
    """Messages in one line each; the role in front where there are several."""
    if len(messages) == 1:
        return messages[0]["content"]
    return " | ".join(f"{one['role']}: {one['content']}" for one in messages)


def _made(source: dict[str, Any]) -> Iterator[str]:
    """By which method, in which round and with which weights."""
    if source["round"] is None:
        return
    weights = ""
    if "weights_of_round" in source:
        maker = source["weights_of_round"]
        weights = f", weights of {f'round {maker}' if maker else 'the start'}, engine {source['engine']}"
    yield f"made by   {source['slot'] or 'method'} {source['method']} in round {source['round']}{weights}"
