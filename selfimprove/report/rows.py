"""The rounds of a run as rows of one table, at most 100 columns wide; under 80 columns, a short line for each.

The verdict stands last in a row, because only its length varies. Each row is made from the line of a round in
metrics.jsonl, or from the test after the last round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from selfimprove.loop import shapes
from selfimprove.records import measured
from selfimprove.report import alarms
from selfimprove.report.letters import ASCII, cut, duration
from selfimprove.report.verdicts import NOT_APPLIED, Fact, confirmed, facts
from selfimprove.safety.redaction import shown
from selfimprove.store.ledger import Ledger
from selfimprove.store.shape import NUMBER, read

HEAD = "round  champion  candidate   kept  right    time  verdict"
BEFORE = 50
"""Columns before the verdict."""
NARROW = 80
"""Columns below which a row is a short line."""


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    name: str
    """`start`, the number of the round, `last` for the test after the last round, or `again` for an earlier one."""
    champion: float | None
    candidate: float | None = None
    """The score of the candidate; in a test after the last round, that of the model on trial."""
    kept: int | None = None
    right: float | None = None
    """The share of the kept samples that are right by the task's rule; None if it is not known."""
    seconds: float = 0.0
    facts: tuple[Fact, ...] = ()
    note: str = ""
    """What stands in place of a verdict."""
    alarms: tuple[str, ...] = ()


def of_round(line: Mapping[str, Any], trial: int) -> Row:
    """The row of a round.

    Args:
        line: its line of metrics.jsonl, with `seconds`.
        trial: the round that made the model on trial when the round began.
    """
    champion, candidate = measured(dict(line), "champion"), measured(dict(line), "candidate")
    seconds = sum(line.get("seconds", {}).values())
    if "decision" not in line:
        half = (champion["high"] - champion["low"]) / 2 if champion else 0.0
        note = f"±{half:.3f} on each round's {champion['n']} new problems" if champion else ""
        return Row("start", _value(champion), seconds=seconds, note=note)
    return Row(
        str(line["round"]),
        _value(champion),
        _value(candidate),
        line.get("selection/kept"),
        line.get("selection/label_precision"),
        seconds,
        tuple(facts(line, trial)),
        alarms=tuple(alarms.lines(line, 100)),
    )


def of_test(line: Mapping[str, Any]) -> Row:
    """The row of the test after the last round.

    Args:
        line: `decision`, `trial` (the round that made the model on trial), the scores of `champion` and `incumbent` on
            its problems, `seconds`, and `name`.
    """
    fact = confirmed(line["decision"], line["trial"])
    return Row(line["name"], line["champion"], line["incumbent"], seconds=line["seconds"], facts=(fact,))


def after(line: Mapping[str, Any], trial: int) -> int:
    """The round that made the model on trial after a round; 0 if there is none."""
    decision = line.get("decision")
    if decision is None:
        return trial
    return {"accept": line["round"], "certify": line["round"], "rollback": 0}.get(decision["verdict"], trial)


def of_run(per_round: Sequence[Mapping[str, Any]], folder: Path, autonomy: int = 3) -> list[Row]:
    """The rows of a run: its rounds, and its tests after the last round.

    Args:
        autonomy: the run's; below 2 a person's answer decides whether a certificate counts.
    """
    made, trial = list[Row](), 0
    for line in per_round:
        made.append(of_round(line, trial))
        trial = after(line, trial)
        if test := confirmation(folder, line["round"], autonomy):
            made.append(of_test({**test, "trial": trial, "name": "last" if line is per_round[-1] else "again"}))
            trial = 0 if test["decision"]["verdict"] == "rollback" else trial
    return made


def confirmation(folder: Path, number: int, autonomy: int = 3) -> dict[str, Any] | None:
    """What a test after the last round found, for `of_test`; None if there was none after this round."""
    step = folder / f"round_{number:03d}" / "confirmation"
    if not (step / "decision.json").exists():
        return None
    decision = read(step / "decision.json", shapes.DECISION)
    if not (autonomy >= 2 or (autonomy == 1 and _approved(folder, number))):
        reason = f"{decision['verdict']}{NOT_APPLIED}: {decision['reason']}"
        decision = {**decision, "verdict": "hold", "certified": False, "reason": reason}
    scores = dict[str, float | None]()
    for who in ("champion", "incumbent"):
        report = read(step / f"{who}.json", shapes.REPORT)
        scores[who] = _value(report["metrics"].get(report.get("measure", "accuracy")))
    time = step / "timing.json"
    seconds = float(read(time, {"seconds": NUMBER})["seconds"]) if time.exists() else 0.0
    return {"decision": decision, **scores, "seconds": seconds}


def _approved(folder: Path, number: int) -> bool:
    said = [e for e in Ledger(folder / "ledger.jsonl").entries(repair=False) if e.get("step") == "confirmation"]
    return any(entry.get("approved") for entry in said if entry["round"] == number)


def head(columns: int) -> list[str]:
    """The head of the table."""
    if columns < NARROW:
        return []
    long = f"{HEAD}, with problems gained:lost in its test"
    return [long if len(long) <= columns else f"{HEAD}, gained:lost"]


def lines(row: Row, columns: int, fancy: bool) -> Iterator[Text]:
    """A row as lines of text: alarms above it, then the cells, and the verdict in as many lines as it takes."""
    for alarm in row.alarms:
        yield _text(cut(alarm, columns), fancy, "yellow" if ", alarm:" in alarm else "red")
    if columns < NARROW:
        yield from _short(row, columns, fancy)
        return
    cells = (f"{row.name:>5}", _share(row.champion, 8), _share(row.candidate, 9), _count(row.kept))
    right = "-" if row.right is None else f"{100 * row.right:.0f}%"
    first = "  ".join([*cells, f"{right:>5}", f"{duration(row.seconds):>6}", ""])
    verdict = _wrapped(row, columns - BEFORE, [fact.long for fact in row.facts], fancy)
    for place, part in enumerate(verdict):
        yield _text(first if not place else " " * BEFORE, fancy) + part


def _short(row: Row, columns: int, fancy: bool) -> Iterator[Text]:
    scores = [f"{score:.2f}" for score in (row.champion, row.candidate) if score is not None]
    name = f"round {row.name}" if row.name.isdecimal() else row.name
    arrow = " → " if fancy else " → ".translate(ASCII)
    first = f"{name:<8} {arrow.join(scores) or '-':<12}  {duration(row.seconds):>6}  "
    for place, part in enumerate(_wrapped(row, columns - len(first), [fact.short for fact in row.facts], fancy)):
        yield _text(first if not place else " " * len(first), fancy) + part


def _wrapped(row: Row, columns: int, said: Sequence[str], fancy: bool) -> list[Text]:
    """The verdict in lines of so many columns, broken between its facts, and inside of one that is longer."""
    pieces = [(text + "," * (place < len(said) - 1), row.facts[place].word.style) for place, text in enumerate(said)]
    pieces = [(part, style) for text, style in pieces or [(row.note, "dim")] for part in _broken(text, columns)]
    made = [Text()]
    for text, style in pieces:
        piece = _text(text, fancy, style)
        if made[-1] and len(made[-1]) + 1 + len(piece) > columns:
            made.append(Text())
        made[-1].append(" " if made[-1] else "").append_text(piece)
    return made


def _broken(text: str, columns: int) -> Iterator[str]:
    """The text in parts that fit, broken between words."""
    part = ""
    for word in shown(text).split():
        while len(word) > max(8, columns):
            if part:
                yield part
            part, word = word[: max(8, columns)], word[max(8, columns) :]
        if part and len(part) + 1 + len(word) > columns:
            yield part
            part = word
        else:
            part = f"{part} {word}" if part else word
    yield part


def _text(text: str, fancy: bool, style: str = "") -> Text:
    safe = shown(text)
    return Text(safe if fancy else safe.translate(ASCII), style)


def _share(score: float | None, columns: int) -> str:
    return f"{'-' if score is None else f'{score:.3f}':>{columns}}"


def _count(kept: int | None) -> str:
    text = "-" if kept is None else f"{kept:,}" if kept < 10_000 else f"{kept / 1000:.0f}k"
    return f"{text:>5}"


def _value(metric: Mapping[str, Any] | None) -> float | None:
    return None if metric is None else metric["value"]
