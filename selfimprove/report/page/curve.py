"""The section Curve: the score by round, and whether the model learned or only got surer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.foreign import whole_number
from selfimprove.records import measured
from selfimprove.report.makers import named
from selfimprove.report.page import chart
from selfimprove.report.page.facts import Facts
from selfimprove.report.page.markup import Html, joined, table, tag
from selfimprove.report.page.numbers import count, share

CROWD = 40
"""Rounds from which on single points are small and have no words."""


def section(facts: Facts) -> Html:
    """Champion with its interval and candidates on new problems; the exam apart: it helped to choose nothing."""
    found = _points(facts)
    values = [value for _, _, metric in found for value in (metric["low"], metric["high"])]
    exam = _exam(facts)
    values += [metric[name] for metric in exam.values() for name in ("low", "high")]
    if not values:
        return Html("")
    names = ["start" if not line["round"] else str(line["round"]) for line in facts.lines] + (["exam"] if exam else [])

    def draw(frame: chart.Frame) -> Sequence[str]:
        return [*_champion(facts, frame), *_candidates(facts, frame), *_sealed(facts, frame, exam)]

    label = f"{facts.measure} by round on new problems, and in the sealed exam; the table of rounds has the numbers"
    first = measured(facts.lines[0], "champion")
    n = (
        f"Each round has {count(first['n'])} new problems: the points of one round share them, those of two do not."
        if first
        else ""
    )
    legend = joined(
        [
            tag("span", "●", class_="k kc"),
            " champion, with its 95 % interval ",
            tag("span", "◆", class_="k kd"),
            " candidate that passed, ",
            tag("span", "◇", class_="k kd"),
            " that did not",
            *((" ", tag("span", "●", class_="k ks"), " start, in the exam") if exam else ()),
            f". {n}",
        ]
    )
    score = tag(
        "figure",
        tag("h3", f"{facts.measure.capitalize()} on new problems"),
        chart.charts(label, names, values, draw),
        tag("figcaption", legend),
    )
    second = _ladder(facts)
    return tag(
        "section", tag("h2", "Curve"), tag("div", score, second, class_="two" if second else None), id=facts.id("curve")
    )


def _points(facts: Facts) -> list[tuple[int, str, dict[str, Any]]]:
    return [
        (place, who, metric)
        for place, line in enumerate(facts.lines)
        for who in ("champion", "candidate")
        if (metric := measured(line, who))
    ]


def _exam(facts: Facts) -> dict[str, dict[str, Any]]:
    metrics = facts.summary.get("metrics", {})
    measure = facts.summary.get("sealed", {}).get("measure", "accuracy")
    return {who: metrics[who][measure] for who in ("start", "champion") if measure in metrics.get(who, {})}


def _champion(facts: Facts, frame: chart.Frame) -> list[str]:
    found = [(place, metric) for place, who, metric in _points(facts) if who == "champion"]
    high = [(frame.x(place), frame.y(metric["high"])) for place, metric in found]
    low = [(frame.x(place), frame.y(metric["low"])) for place, metric in found]
    drawn: list[str] = [chart.area([*high, *reversed(low)], "band")]
    drawn.append(chart.path([(frame.x(place), frame.y(metric["value"])) for place, metric in found], "champ"))
    radius = 4.5 if len(found) <= CROWD else 1.5
    for place, metric in found:
        who = named(facts.makers[place].champion)
        said = f"{_round(facts, place)}: champion ({who}) {share(metric['value'])}"
        drawn.append(chart.dot(frame.x(place), frame.y(metric["value"]), "champdot", said, radius))
    return drawn


def _candidates(facts: Facts, frame: chart.Frame) -> list[str]:
    drawn = list[str]()
    few = len(facts.lines) <= CROWD
    for place, who, metric in _points(facts):
        if who != "candidate":
            continue
        x, y = frame.x(place + 0.14 if few else place), frame.y(metric["value"])
        passed = (facts.lines[place].get("decision") or {}).get("verdict") in ("accept", "certify")
        kind = "candok" if passed else "candno"
        said = f"{_round(facts, place)}: candidate {share(metric['value'])}"
        if few:
            drawn.append(chart.line(x, frame.y(metric["low"]), x, frame.y(metric["high"]), "cand"))
            drawn.append(chart.diamond(x, y, kind, said))
        else:
            drawn.append(chart.dot(x, y, kind, said, 2))
    return drawn


def _sealed(facts: Facts, frame: chart.Frame, exam: dict[str, dict[str, Any]]) -> list[str]:
    if not exam:
        return []
    place = len(facts.lines)
    wall = (frame.x(place - 1) + frame.x(place)) / 2
    drawn: list[str] = [chart.line(wall, chart.TOP, wall, frame.size[1] - chart.BOTTOM, "wall")]
    same = exam.get("start") == exam.get("champion")
    for who, side in (("start", 0.0 if same else -0.12), ("champion", 0.12)):
        if who not in exam or (same and who == "champion"):
            continue
        metric, x = exam[who], frame.x(place + side)
        kind = "startdot" if who == "start" else "champdot"
        drawn.append(chart.line(x, frame.y(metric["low"]), x, frame.y(metric["high"]), f"{kind}bar"))
        drawn.append(chart.dot(x, frame.y(metric["value"]), kind, f"exam: {who} {share(metric['value'])}", 6))
    return drawn


def _round(facts: Facts, place: int) -> str:
    number = facts.lines[place]["round"]
    return f"round {number}" if number else "start"


def _ladder(facts: Facts) -> Html:
    """One sample, the vote and any of k samples on audit problems, by round."""
    found = [(line["round"], (line.get("diagnosis") or {}).get("ladder") or {}) for line in facts.lines]
    found = [(number, ladder) for number, ladder in found if "pass@1" in ladder]
    if len(found) < 2:
        return Html("")
    most = max((whole_number(name.removeprefix("pass@")) or 1 for name in found[0][1]), default=1)
    names = [
        ("pass@1", "one sample", "l1"),
        (f"maj@{most}", f"vote of {most}", "l2"),
        (f"pass@{most}", f"any of {most}", "l3"),
    ]
    names = [one for one in names if all(one[0] in ladder for _, ladder in found)]
    values = [ladder[name] for _, ladder in found for name, _, _ in names]

    def draw(frame: chart.Frame) -> Sequence[str]:
        drawn = list[str]()
        for name, said, kind in names:
            places = [(frame.x(place), frame.y(ladder[name])) for place, (_, ladder) in enumerate(found)]
            drawn.append(chart.path(places, kind))
            below = name == "pass@1"
            drawn.append(chart.text(places[-1][0], places[-1][1] + (18 if below else -9), said, f"lab {kind}t", "end"))
        return drawn

    change = (facts.lines[-1].get("diagnosis") or {}).get("change", "")
    said = (
        f"Audit problems, {most} samples each. If “any of {most}” rises too, the model solves problems that it could "
        "not solve before; if only “one sample” rises, it got surer."
    )
    heads = ["round", *(name for _, name, _ in names)]
    rows = [
        ["start" if not number else str(number), *(share(ladder[name]) for name, _, _ in names)]
        for number, ladder in found
    ]
    return tag(
        "figure",
        tag("h3", "Learned, or only sharpened?"),
        chart.charts(
            "Audit problems by round: one sample, a vote, any of several", [row[0] for row in rows], values, draw
        ),
        tag("figcaption", said, *((" At the end: ", tag("b", change), ".") if change else ())),
        tag("details", tag("summary", "Its numbers"), table("Learned or sharpened, by round", heads, rows)),
    )
