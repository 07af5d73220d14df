"""What a round decided, as facts in words: whose model, what became of it, and problems gained and lost in its test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NOT_APPLIED = " proposed, not applied"
"""What the reason of a decision says that waits for a person, or for a higher autonomy."""


@dataclass(frozen=True)
class Word:
    """What can become of a model, in words, as one sign, and in its colour."""

    text: str
    sign: str
    style: str = ""


CERTIFIED = Word("certified", "✓", "green")
WORDS = {
    "certify": CERTIFIED,
    "accept": Word("on trial", "◇", "cyan"),
    "hold": Word("undecided", "·", "dim"),
    "reject": Word("not better", "✗", "dim"),
    "rollback": Word("rolled back", "✗", "red"),
}
"""Stored verdict -> what became of the candidate."""


@dataclass(frozen=True)
class Fact:
    """What became of one model."""

    maker: int
    """The round that made the model."""
    word: Word
    pair: str = ""
    """`59:15`: problems gained and lost in its test; "" if the gate counts none."""
    because: str = ""
    """The gate's own reason, where it counts no pairs."""

    @property
    def long(self) -> str:
        """`round 1 certified 59:15`."""
        because = f": {self.because}" if self.because else ""
        return " ".join(part for part in (f"round {self.maker} {self.word.text}{because}", self.pair) if part)

    @property
    def short(self) -> str:
        """`round 1 ✓ 59:15`."""
        return " ".join(part for part in (f"round {self.maker} {self.word.sign}", self.pair) if part)


def vetoes(decision: Mapping[str, Any], alerts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The alarms and guards that kept a candidate from being accepted, each once."""
    if decision["verdict"] not in ("rollback", "reject"):
        return []
    names = [alert["alarm"] for alert in alerts if alert["level"] >= 2]
    return list(dict.fromkeys([*names, *decision.get("statistics", {}).get("fallen", ())]))


def facts(line: Mapping[str, Any], trial: int) -> list[Fact]:
    """What the gate decided in a round: first on the model on trial, then on the candidate.

    Args:
        line: the line of the round in metrics.jsonl.
        trial: the round that made the model on trial.
    """
    decision, number = line["decision"], line["round"]
    numbers = decision.get("statistics", {})
    tested, counted = numbers.get("incumbent"), {"b", "c"} <= numbers.keys()
    if tested and not counted and decision["verdict"] == "rollback":  # both go: the candidate came from a bad model
        return [_back(trial, numbers), Fact(number, Word("dropped with it", "✗", "red"))]
    found = [Fact(trial, CERTIFIED, _pair(tested or {}))] if decision.get("certified") else []
    because = "" if counted else _words(decision["reason"])
    return [*found, Fact(number, _word(decision, line.get("alerts", ())), _pair(numbers), because)]


def confirmed(decision: Mapping[str, Any], trial: int) -> Fact:
    """What the test after the last round made of the model on trial."""
    numbers = decision.get("statistics", {})
    if decision.get("certified"):
        return Fact(trial, CERTIFIED, _pair(numbers.get("incumbent", {})))
    if decision["verdict"] == "rollback":
        return _back(trial, numbers)
    text = "certificate" + NOT_APPLIED if NOT_APPLIED in decision["reason"] else "not certified"
    return Fact(trial, Word(text, "·", "dim"), _pair(numbers.get("incumbent", {})))


def _back(trial: int, numbers: Mapping[str, Any]) -> Fact:
    lost = ", ".join(numbers.get("fallen", ()))
    word = Word(f"lost {lost}", "✗", "red") if lost else WORDS["rollback"]
    return Fact(trial, word, _pair(numbers.get("incumbent", {})))


def _word(decision: Mapping[str, Any], alerts: Sequence[Mapping[str, Any]]) -> Word:
    if by := vetoes(decision, alerts):
        return Word(f"vetoed by {', '.join(by)}", "✗", "red")
    proposed, waits, _ = str(decision["reason"]).partition(NOT_APPLIED)
    if waits and decision["verdict"] == "hold":
        known = WORDS.get(proposed.partition(" ")[0])
        return Word(f"{known.text if known else proposed}{NOT_APPLIED}", "·", "dim")
    return WORDS[decision["verdict"]]


def _words(reason: str) -> str:
    """The reason of a gate that counts no pairs, without what was proposed before it."""
    return reason.partition(f"{NOT_APPLIED}: ")[2] or reason


def _pair(numbers: Mapping[str, Any]) -> str:
    return f"{numbers['b']}:{numbers['c']}" if {"b", "c"} <= numbers.keys() else ""
