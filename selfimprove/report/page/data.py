"""The section Data: from problems to training rows, and who read which held-out problems."""

from __future__ import annotations

from typing import Any

from selfimprove.report.page.facts import Facts
from selfimprove.report.page.markup import Html, bars, details, table, tag
from selfimprove.report.page.numbers import NONE, count, percent

FLOW = (
    ("records acquired", "acquisition/records", ""),
    ("offered to selection", "selection/given", ""),
    ("kept", "selection/kept", "k"),
    ("dropped: they quote held-out problems", "acquisition/held_out_dropped", "z"),
)
"""(name, count of a round, class of the bar)."""
READERS = {
    "gate": "read by the gate, a new form each time",
    "audit": "read by the alarms, a new form each round",
    "sealed": "read by the exam",
}


def section(facts: Facts) -> Html:
    """Counts of all rounds together, those of each round, and the splits with their readers."""
    sums = [(name, sum(line.get(key, 0) for line in facts.rounds), kind) for name, key, kind in FLOW]
    most = max([value for _, value, _ in sums] + [1])
    flow = bars((name, count(value), value / most, kind) for name, value, kind in sums if value or kind != "z")
    left = tag("div", tag("h3", "From samples to training rows"), flow, tag("p", "All rounds together.", class_="meta"))
    heads = ["round", "acquired", "kept", "labels right", "rows in training"]
    rows = (
        [
            str(line["round"]),
            _count(line, "acquisition/records"),
            _count(line, "selection/kept"),
            percent(line["selection/label_precision"]) if "selection/label_precision" in line else NONE,
            _count(line, "optimization/records"),
        ]
        for line in facts.rounds
    )
    return tag(
        "section",
        tag("h2", "Data"),
        tag("div", left, _splits(facts), class_="two even"),
        details("By round", table("Data by round", heads, rows)),
        id=facts.id("data"),
    )


def _count(line: dict[str, Any], name: str) -> str:
    return count(line[name]) if name in line else NONE


def _splits(facts: Facts) -> Html:
    reads = [entry for entry in facts.ledger if isinstance(entry.get("split"), str) and isinstance(entry.get("n"), int)]
    items = [tag("li", tag("b", "train"), tag("small", "makes the training data"), class_="train")]
    for split, who in READERS.items():
        own = [entry["n"] for entry in reads if entry["split"] == split and entry["n"]]
        forms = "1 form" if len(own) == 1 else f"{len(own)} forms"
        said = f"{count(sum(own))} problems" if own else "not read yet"
        items.append(tag("li", tag("b", split), tag("span", said), tag("small", f"{forms}; {who}"), class_=split))
    note = (
        "A problem is in one split only. A form also holds problems of other kinds, such as abilities to keep. The "
        f"ledger has {count(len(facts.ledger))} entries in one chain."
    )
    head = tag("h3", "Which problems, and who read them")
    return tag("div", head, tag("ul", *items, class_="splits"), tag("p", note, class_="meta"))
