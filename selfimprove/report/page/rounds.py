"""The section Rounds: three models on the same new problems, and what the gate decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from selfimprove.records import measured
from selfimprove.report.makers import Makers, after, named
from selfimprove.report.page.facts import Facts
from selfimprove.report.page.markup import Html, joined, tag
from selfimprove.report.page.numbers import NONE, count, half, p_value, percent, share, time
from selfimprove.report.verdicts import Fact, confirmed
from selfimprove.report.verdicts import facts as decided

HEADS = ("", "champion", "on trial", "candidate", "kept", "labels right", "since start", "verdict", "time")
UNCLEAR = "unclear"
"""What a change is called here that the audit cannot tell from none, beside a verdict of more problems."""
KINDS = {"green": "t-ok", "cyan": "t-try", "red": "t-no"}
"""Colour of a verdict at the terminal -> its class here."""


def section(facts: Facts) -> Html:
    """A row for each round and for each test after a last round."""
    head = tag("tr", *(tag("th", name, scope="col", class_="l" if name == "verdict" else None) for name in HEADS))
    body = [row for place in range(len(facts.lines)) for row in _rows(facts, place)]
    lead = (
        "All models of a row answered the same new problems. A candidate that looks better goes ",
        tag("b", "on trial"),
        "; it is ",
        tag("b", "certified"),
        ", and becomes champion, only after a second test on problems drawn later. “Kept” are the samples trained on.",
    )
    made = tag("table", tag("caption", "Rounds", class_="vh"), tag("thead", head), tag("tbody", *body), class_="rounds")
    return tag("section", tag("h2", "Rounds"), tag("p", *lead, class_="lead"), made, id=facts.id("rounds"))


def _rows(facts: Facts, place: int) -> Iterator[Html]:
    line, made = facts.lines[place], facts.makers[place]
    number = line["round"]
    yield _row("start" if not number else f"round {number}", _cells(facts, line, made))
    if test := facts.tests.get(number):
        now = after(made, line["decision"], number) if "decision" in line else made
        yield _row("last test", _last(facts, number, test, now))


def _row(name: str, cells: list[Html]) -> Html:
    return tag("tr", tag("th", name, scope="row"), *cells)


def _cells(facts: Facts, line: dict[str, Any], made: Makers) -> list[Html]:
    number = line["round"]
    tried = facts.score(number, "evaluation", "incumbent") if made.trial not in (None, made.champion) else None
    right, kept = line.get("selection/label_precision"), line.get("selection/kept")
    change = (line.get("diagnosis") or {}).get("change") if number else None
    change = UNCLEAR if change == "no gain" else change  # the audit has fewer problems than the test of the round
    tags = (
        [_tag(fact, _test(line["decision"], made, fact, number)) for fact in decided(line, made.trial or 0)]
        if "decision" in line
        else [Html("measured")]
    )
    return [
        _score("champion", measured(line, "champion"), named(made.champion) if number else ""),
        _score("on trial", tried, named(made.trial)),
        _score("candidate", measured(line, "candidate"), f"round {number}"),
        _cell("kept", None if kept is None else count(kept)),
        _cell("labels right", None if right is None else percent(right)),
        _cell("since start", change),
        tag("td", *tags, data_l="verdict", class_="l"),
        _cell("time", time(sum(line.get("seconds", {}).values()))),
    ]


def _last(facts: Facts, number: int, test: dict[str, Any], made: Makers) -> list[Html]:
    scores = [facts.score(number, "confirmation", who) for who in ("champion", "incumbent")]
    fact = confirmed(test, made.trial or 0)
    return [
        _score("champion", scores[0], named(made.champion)),
        _score("on trial", scores[1], named(made.trial)),
        *(_cell(name, None) for name in ("candidate", "kept", "labels right", "since start")),
        tag(
            "td",
            _tag(fact, _counts(test.get("statistics", {}).get("incumbent"), named(made.champion))),
            data_l="verdict",
            class_="l",
        ),
        _cell("time", time(facts.run.seconds(number, "confirmation"))),
    ]


def _score(name: str, metric: dict[str, Any] | None, who: str) -> Html:
    if not metric:
        return _cell(name, None)
    small = [tag("small", half(metric)), *([tag("small", who, class_="who")] if who else [])]
    return tag("td", share(metric["value"]), *small, data_l=name)


def _cell(name: str, said: str | None) -> Html:
    return tag("td", said or NONE, data_l=name, class_=None if said else "empty")


def _tag(fact: Fact, small: str) -> Html:
    said = f"{fact.word.sign} {named(fact.maker)} {fact.word.text}"
    return joined(
        [tag("span", said, class_=f"tag {KINDS.get(fact.word.style, '')}".strip()), tag("small", small or fact.because)]
    )


def _test(decision: dict[str, Any], made: Makers, fact: Fact, number: int) -> str:
    """The counts of the test behind a fact: on the model on trial against the champion, or on the candidate."""
    numbers = decision.get("statistics", {})
    if fact.maker != number:
        return _counts(numbers.get("incumbent"), named(made.champion))
    return _counts(numbers if {"b", "c"} <= numbers.keys() else None, named(made.trial))


def _counts(pair: dict[str, Any] | None, other: str) -> str:
    if not pair:
        return ""
    p = f", {p_value(pair['p'])}" if isinstance(pair.get("p"), float) else ""
    return f"{pair['b']} gained, {pair['c']} lost to {other}{p}"
