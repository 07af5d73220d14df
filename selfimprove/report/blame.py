"""What goes together with a candidate's result: its test, the data that is new, the options that changed, alarms.

All of this changed in the same round, so it is association. `replay` changes one thing at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from selfimprove.errors import MissingError
from selfimprove.loop.history import Stored
from selfimprove.loop.origin import changed_values
from selfimprove.loop.stages import stage_of
from selfimprove.measures import statistics
from selfimprove.problems.splits import split_of
from selfimprove.records import Document, Preference, Prompt, Record, Report, Rollout, each_record

SHOWN = 5
"""Problems gained and lost that are named, of each kind, once the run's exam is over."""
ASSOCIATION = (
    "all of this changed in the same round, so it is association: nothing here shows which part made the difference"
)
Rows = Sequence[Record]


def blame(stored: Stored, number: int) -> dict[str, Any]:
    """What differs about the candidate of a round.

    Raises:
        MissingError: the round has no candidate, or its test is not finished.
    """
    root = stored.folder.root
    if number < 1 or "evaluation" not in stored.folder.finished(number):
        raise MissingError(
            f"{root} has no tested candidate of round {number}; rounds count from 1. How far it is: selfimprove "
            f"resume {root}"
        )
    incumbent, candidate = stored.report(number, "incumbent"), stored.report(number, "candidate")
    over = (root / "summary.json").exists()
    finished = stored.folder.finished(number)
    decision = stored.decision(number) if "gate" in finished else None
    before = _before(stored, number)
    rows, earlier = _rows(stored, number), _rows(stored, before) if before else []
    return {
        "round": number,
        "trained_from": stored.standing(number).incumbent,
        "verdict": decision.verdict if decision else None,
        "reason": decision.reason if decision else "",
        "test": _test(incumbent, candidate, over),
        "before": before,
        "data": {"now": _described(stored, rows), "before": _described(stored, earlier), **_new(rows, earlier)},
        "training": _training(stored, number, before),
        "options": _options(stored, number, before),
        "alarms": [{"alarm": a.alarm, "level": a.level, "text": a.text} for a in stored.alerts(number)]
        if "audit" in finished
        else [],
        "note": ASSOCIATION,
    }


def _before(stored: Stored, number: int) -> int:
    """The last earlier round that trained a candidate; 0 for none."""
    return next((past for past in range(number - 1, 0, -1) if "optimization" in stored.folder.finished(past)), 0)


def _test(old: Report, new: Report, over: bool) -> dict[str, Any]:
    """The candidate against the weights that it was trained from, on the round's gate problems."""
    gained = [key for key, score in new.scores.items() if score > 0.5 >= old.scores[key]]
    lost = [key for key, score in new.scores.items() if score <= 0.5 < old.scores[key]]
    levels = {one.prompt.key: one.prompt.info.get("level") for one in new.rollouts if one.prompt.key in new.scores}
    by_level = {
        str(level): [sum(levels.get(key) == level for key in keys) for keys in (gained, lost, new.scores)]
        for level in sorted({level for level in levels.values() if level is not None}, key=str)
    }
    found: dict[str, Any] = {
        "problems": len(new.scores),
        "gained": len(gained),
        "lost": len(lost),
        "p": statistics.mcnemar_two_sided(len(gained), len(lost)),
        "levels": by_level,
        "guards": {
            name: [_mean(old.parts[name]), _mean(part)]
            for name, part in new.parts.items()
            if name in old.parts and not name.startswith("level/")
        },
    }
    if over:  # who sees which problems were solved knows more of the answers than a run may show before its exam
        texts = {one.prompt.key: one.prompt.prompt[-1]["content"] for one in new.rollouts}
        found |= {
            name: [texts.get(key, key) for key in keys[:SHOWN]]
            for name, keys in (("gained_first", gained), ("lost_first", lost))
        }
    return found


def _mean(scores: dict[str, float]) -> float | None:
    return sum(scores.values()) / len(scores) if scores else None


def _rows(stored: Stored, number: int) -> list[Record]:
    """What a round selected, in all legs."""
    steps = [name for name in stored.steps(number) if stage_of(name).name == "selection"]
    files = [stored.folder.step(number, name) / "output.jsonl" for name in steps]
    return [record for file in files if file.exists() for record in each_record(file)]


def _described(stored: Stored, rows: Rows) -> dict[str, Any]:
    """Counts of training rows: how many, of how many problems, how many are wrong, how long, of which levels."""
    sides = [row.sides[0] if isinstance(row, Preference) else row for row in rows]
    answers = [one for one in sides if isinstance(one, Rollout)]
    problems = [one.prompt if isinstance(one, Rollout) else one for one in sides if isinstance(one, Rollout | Prompt)]
    task = stored.recipe.the("task")
    marks = [task.verify(one.prompt, one.text) for one in answers if split_of(one.prompt.key) == "train"]
    known = [mark for mark in marks if mark is not None]
    levels = Counter(str(one.info["level"]) for one in problems if "level" in one.info)
    return {
        "rows": len(rows),
        "problems": len({one.key for one in problems}),
        "marked": len(known),
        "wrong": sum(mark <= 0.5 for mark in known),
        "letters": round(sum(map(_letters, rows)) / len(rows), 1) if rows else None,
        "cut_off": sum(one.truncated for one in answers),
        "levels": dict(sorted(levels.items())),
        "sources": dict(Counter(row.source.rpartition("@")[0] for row in rows)),
    }


def _letters(row: Record) -> int:
    """The letters that a row teaches."""
    if isinstance(row, Document):
        return len(row.text)
    said = row.prompt if isinstance(row, Prompt) else row.chosen if isinstance(row, Preference) else row.completion
    return sum(len(one["content"]) for one in said)


def _new(rows: Rows, earlier: Rows) -> dict[str, int]:
    """How many rows and problems the round before did not train on."""
    texts, keys = {_text(row) for row in earlier}, {_key(row) for row in earlier}
    return {
        "new_rows": sum(_text(row) not in texts for row in rows),
        "new_problems": len({_key(row) for row in rows} - keys),
    }


def _key(row: Record) -> str:
    if isinstance(row, Document):
        return row.text
    return row.key if isinstance(row, Prompt) else row.prompt.key


def _text(row: Record) -> str:
    """A row without its origin: the same words on the same problem are the same row."""
    said: Any = row.text if isinstance(row, Document) else row.prompt if isinstance(row, Prompt) else None
    said = (row.chosen, row.rejected) if isinstance(row, Preference) else said
    said = row.completion if isinstance(row, Rollout) else said
    return f"{_key(row)} {said}"


def _training(stored: Stored, number: int, before: int) -> dict[str, list[float | None]]:
    """Each number of the training, in the round before and in this one."""
    now, then = (
        stored.folder.manifest(past, "optimization")["metrics"]
        if past and "optimization" in stored.folder.finished(past)
        else {}
        for past in (number, before)
    )
    return {name: [then.get(name), value] for name, value in now.items()}


def _options(stored: Stored, number: int, before: int) -> list[dict[str, Any]]:
    """The options that differ from those of the round before."""
    pairs = changed_values(stored.at(before)[1], stored.at(number)[1]) if before else []
    return [{"option": place, "was": old, "is": new} for place, old, new in pairs]


def told(found: dict[str, Any], root: str) -> Iterator[str]:
    """What `blame` found, as lines."""
    number, test, data = found["round"], found["test"], found["data"]
    chance = "more than chance explains" if test["p"] < 0.05 else "chance explains it as well"
    yield f"round {number}: {found['verdict'] or 'not decided yet'}{': ' + found['reason'] if found['reason'] else ''}"
    yield (
        f"test      against the weights that it was trained from (round {found['trained_from']}): {test['gained']} of "
        f"{test['problems']} problems gained, {test['lost']} lost, {chance} (exact p = {test['p']:.2g})"
    )
    for level, (gained, lost, of) in test["levels"].items():
        yield f"  level {level}: {gained} gained, {lost} lost of {of}"
    for name, (old, new) in test["guards"].items():
        if old is not None and new is not None:
            yield f"  {name}: {old:.3f} -> {new:.3f}"
    for what in ("gained", "lost"):
        for text in test.get(f"{what}_first", ()):
            yield f"  {what}: {text}"
    was, now = data["before"], data["now"]

    def beside(before: object) -> str:
        return f" (round {found['before']}: {before})" if found["before"] else ""

    yield f"data      {now['rows']} rows of {now['problems']} problems{beside('{rows} of {problems}'.format(**was))}"
    if found["before"]:
        yield f"  new against round {found['before']}: {data['new_rows']} rows, {data['new_problems']} problems"
    if now["marked"]:
        wrong = beside("{wrong} of {marked}".format(**was))
        yield f"  wrong by the task's own rule: {now['wrong']} of {now['marked']}{wrong}"
    yield f"  letters a row: {now['letters']}{beside(was['letters'])}"
    yield f"  cut off: {now['cut_off']}{beside(was['cut_off'])}"
    if now["levels"]:
        yield f"  levels: {_counted(now['levels'])}{beside(_counted(was['levels']))}"
    for name, (old, new) in found["training"].items():
        yield f"training  {name} {new:g}" + (f" (round {found['before']}: {old:g})" if old is not None else "")
    for one in found["options"]:
        yield f"option    {one['option']} was {one['was']!r}, is {one['is']!r}"
    if not found["options"]:
        yield "options   none changed"
    for one in found["alarms"]:
        yield f"alarm     {'VETO ' if one['level'] > 1 else ''}{one['alarm']}: {one['text']}"
    if not found["alarms"]:
        yield "alarms    none"
    yield found["note"]
    yield f"to try one change: selfimprove replay {root} --from {number} key=value"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {n}" for name, n in counts.items()) or "none"
