"""The section Alarms: what rang in which round, what it means, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove import registry
from selfimprove.errors import UserError
from selfimprove.report.page.facts import Facts
from selfimprove.report.page.markup import Html, tag
from selfimprove.report.verdicts import vetoes

MANY = 24
"""Rounds from which on there is no grid, only a line for each alarm and round that rang."""
LISTED = 60
"""Most lines on single alarms."""
ADVICE = {
    "reward_hacking": "use a reward that the task can check, or add a check that sees what the reward misses",
    "majority_collapse": "reward with something other than agreement, or keep only problems without unanimity",
    "entropy": "train for fewer steps or with a lower learning rate; draw at a higher temperature",
    "diversity": "train for fewer steps; keep several different solutions for each problem",
    "large_k": "the model only gets surer: add harder or new problems, or keep rare right solutions",
    "length": "look at the samples; limit the length, or take length out of the reward",
    "forgetting": "shorter training, a lower learning rate, or replay of earlier data",
    "reversal": "stop at an earlier round, or add problems like those that got worse",
    "contamination": "nothing to do: the records were dropped; look at where acquisition takes its problems from",
    "judge": "use another judge, or freeze it at the weights of round 0",
    "honeypots": "the marking rule can be fooled: look at these completions and make the rule stricter",
}
"""Alarm -> what to do about it."""


def section(facts: Facts) -> Html:
    """One sentence if all were quiet; else a grid, what each alarm means, and a line for each round that rang."""
    names = list(facts.settings.get("alarm") or ())
    rang = [(line, alert) for line in facts.rounds for alert in line.get("alerts", ())]
    n = len(facts.rounds)
    rounds = "1 round" if n == 1 else f"{n} rounds"
    if not rang:
        lead = (
            f"None of the {len(names)} alarms rang in {rounds}. They watch for known ways in which a loop fools "
            "itself: rewards that rise alone, one answer taking over, loss of variety, longer or shorter answers, "
            "forgetting, held-out problems in the data."
        )
        parts = [tag("p", lead, class_="lead")]
        if 0 < n <= MANY:
            parts.append(tag("details", tag("summary", f"The {len(names)} alarms by round"), _grid(facts, names)))
        return tag("section", tag("h2", "Alarms"), *parts, id=facts.id("alarms"))
    loud = list(dict.fromkeys(alert["alarm"] for _, alert in rang))
    names = [*names, *(name for name in loud if name not in names)]
    grid = [_grid(facts, names)] if n <= MANY else []
    lines = [tag("li", *_line(line, alert)) for line, alert in rang[:LISTED]]
    more = [tag("p", f"and {len(rang) - LISTED} more in metrics.jsonl", class_="meta")] if len(rang) > LISTED else []
    meaning = tag("dl", *(tag("div", tag("dt", name), tag("dd", *_meaning(name))) for name in loud), class_="slots")
    told = tag("div", tag("ul", *lines, class_="alist"), *more)
    both = tag("div", *grid, told, class_="two even" if grid else None)
    return tag(
        "section",
        tag("h2", "Alarms"),
        both,
        tag("h3", "What they mean, and what to do"),
        meaning,
        id=facts.id("alarms"),
    )


def _grid(facts: Facts, names: Sequence[str]) -> Html:
    heads = tag(
        "tr", *(tag("th", head, scope="col") for head in ("alarm", *(str(line["round"]) for line in facts.rounds)))
    )
    rows = (tag("tr", tag("th", name, scope="row"), *(_state(line, name) for line in facts.rounds)) for name in names)
    made = tag(
        "table", tag("caption", "Alarms by round", class_="vh"), tag("thead", heads), tag("tbody", *rows), class_="grid"
    )
    return tag("div", made, class_="scroll")


def _state(line: dict[str, Any], name: str) -> Html:
    if not any(alert["alarm"] == name for alert in line.get("alerts", ())):
        return tag("td", "·", tag("span", "quiet", class_="vh"), class_="quiet")
    veto = "decision" in line and name in vetoes(line["decision"], line["alerts"])
    word, sign, kind = ("veto", "✗", "a2") if veto else ("shown", "!", "a1")
    return tag("td", sign, tag("span", word, class_="vh"), class_=kind)


def _line(line: dict[str, Any], alert: dict[str, Any]) -> list[str]:
    veto = "decision" in line and alert["alarm"] in vetoes(line["decision"], line["alerts"])
    return [tag("b", f"round {line['round']}, {alert['alarm']}"), " (veto): " if veto else ": ", alert["text"][:400]]


def _meaning(name: str) -> list[str]:
    try:
        said = next((one.summary for one in registry.lines("alarm") if one.name == name), "")
    except UserError:
        said = ""
    return [f"{said}. " if said else "", tag("b", "What to do:"), f" {ADVICE.get(name, 'see docs/evaluation.md')}."]
