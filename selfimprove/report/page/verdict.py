"""The section Verdict: who reads only this has the truth with its limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from selfimprove.report import reasons
from selfimprove.report.makers import named
from selfimprove.report.page import cost
from selfimprove.report.page.facts import Facts
from selfimprove.report.page.markup import Html, joined, tag
from selfimprove.report.page.numbers import count, interval, p_value, percent, share, signed
from selfimprove.report.verdicts import vetoes


def section(facts: Facts) -> Html:
    """The outcome of the exam, one sentence in words, and what could make it wrong."""
    kind, body = _outcome(facts) if facts.summary else _unfinished(facts)
    boxes = tag("dl", *(_box(*one) for one in _boxes(facts)), class_="facts")
    won = facts.gained
    return tag(
        "section",
        tag("h2", "Verdict", class_="vh"),
        tag("p", kind, class_="kind"),
        *body,
        boxes,
        *_why(facts),
        id=facts.id("verdict"),
        class_="card win" if won else "card",
    )


def title(facts: Facts) -> str:
    """The outcome in a few words, for the title of the page and the table of several runs."""
    if not facts.summary:
        return f"not finished, {facts.last} rounds decided"
    sealed = facts.summary["sealed"]
    return f"gain {signed(sealed['delta'])} points" if facts.gained else "no significant gain"


def _outcome(facts: Facts) -> tuple[str, list[Html]]:
    sealed = facts.summary["sealed"]
    n, start, champion = sealed["n"], sealed["start"], sealed["champion"]
    twice = f" Sealed problems were read {sealed['reads']} times." if sealed.get("reads", 1) > 1 else ""
    twice += " The model was adapted on the exam's questions, without answers." if sealed.get("adapted") else ""
    if not sealed["champion_round"]:
        big = tag("p", tag("span", share(start)), " ", tag("i", "stays"), class_="big")
        head = tag("p", tag("b", "No significant gain."), " The start stays champion. That is a result, not an error.")
        said = (
            f"{_candidates(len(facts.rounds))} trained; the gate let none become champion. The start's {facts.measure} "
            f"on {count(n)} sealed problems is {share(start)}.{twice}"
        )
        return "No gain", [big, head, tag("p", said, class_="said")]
    good = tag("span", share(champion), class_="good" if facts.gained else None)
    big = tag("p", tag("span", share(start)), " ", tag("i", "→"), " ", good, class_="big")
    p = f", exact {p_value(sealed['p'])}" if "p" in sealed else ""
    change = tag("b", f"{signed(sealed['delta'])} points")
    head = tag("p", change, f"  95 % interval {interval(sealed['ci'])}{p}, n = {count(n)}", class_="delta")
    solved = (
        f"The start model solved {count(start * n)} of {count(n)} sealed problems, the champion"
        if facts.measure == "accuracy"
        else f"On {count(n)} sealed problems the start model reached {share(start)}, the champion"
    )
    reached = count(champion * n) if facts.measure == "accuracy" else share(champion)
    said = f"{solved} ({named(sealed['champion_round'])}) {reached}. Nothing had read them before the exam.{twice}"
    if not facts.gained:
        said = f"The difference is too small to be sure of. {said}"
    return "Gain" if facts.gained else "No gain", [big, head, tag("p", said, class_="said")]


def _candidates(n: int) -> str:
    return "1 candidate was" if n == 1 else f"{n} candidates were"


def _unfinished(facts: Facts) -> tuple[str, list[Html]]:
    planned = facts.settings.get("rounds", facts.last)
    big = tag("p", tag("span", f"{facts.last}"), " ", tag("i", f"of {planned} rounds"), class_="big")
    said = (
        "Scores below are of gate problems, which helped to choose; only the exam, after the last round, says how "
        "large a gain is. To go on:"
    )
    return "Not finished", [big, tag("p", said, class_="said"), tag("pre", f"selfimprove resume {facts.name}")]


def _box(name: str, said: str, small: str) -> Html:
    return tag("div", tag("dt", name), tag("dd", said, tag("small", small)))


def _boxes(facts: Facts) -> Iterator[tuple[str, str, str]]:
    if facts.summary:
        yield from _compute(facts)
        yield _elsewhere(facts)
    yield _alarms(facts)
    if facts.summary and "certified" in facts.summary.get("loop", {}):
        yield _certificates(facts.summary["loop"])
    right = reasons.precision(facts.rounds)
    kept, given = (sum(line.get(f"selection/{name}", 0) for line in facts.rounds) for name in ("kept", "given"))
    said = "Not known" if right is None else f"{percent(right)} right"
    yield "Labels", said, f"{count(kept)} of {count(given)} samples kept for training"
    yield cost.box(facts)


def _compute(facts: Facts) -> Iterator[tuple[str, str, str]]:
    found = facts.summary["sealed"].get("controls", {})
    if "over_votes" in found:
        over = found["over_votes"]
        word = (
            "Training beat voting"
            if over["low"] > 0
            else "Not ahead of voting"
            if over["high"] > 0
            else "Voting is better"
        )
        yield (
            "At equal compute",
            word,
            f"champion {share(found['champion']['value'])}, start with {found['samples']} votes "
            f"{share(found['votes']['value'])}: {_gap(over)}, n = {found['problems']}",
        )
    if "null" in found:
        yield (
            "Shuffled rewards",
            f"{_gap(found['null'])}",
            "the same training on rewards that mean nothing, over the start",
        )
    if priced := found.get("equal_tokens"):
        small = (
            f"refined {share(priced['refined']['value'])}, {priced['samples']} votes {share(priced['votes']['value'])}"
        )
        yield "At equal tokens", _gap(priced["over_votes"]), f"{small}, n = {priced['problems']}"


def _gap(metric: dict[str, Any]) -> str:
    return f"{signed(metric['value'])} [{signed(metric['low'])}, {signed(metric['high'])}]"


def _elsewhere(facts: Facts) -> tuple[str, str, str]:
    metrics = facts.summary.get("metrics", {})
    start, champion = (metrics.get(who, {}) for who in ("start", "champion"))
    measure = facts.summary["sealed"].get("measure", "accuracy")
    names = [name for name in start if name != measure and name in champion]
    fell = [name for name in names if _worse(name, start[name], champion[name])]
    said = [f"{_metric(name)} {start[name]['value']:.2f} → {champion[name]['value']:.2f}" for name in names]
    if not names:
        return "Elsewhere", "Not measured", "the recipe has no other metrics"
    word = f"Fell: {', '.join(map(_metric, fell))}" if fell else "No significant fall"
    if not facts.summary["sealed"]["champion_round"]:
        word = "As it was"
    return "Elsewhere", word, "; ".join(said)


def _worse(name: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    return new["low"] > old["high"] if name == "truncated" else new["high"] < old["low"]


def _metric(name: str) -> str:
    return "cut off" if name == "truncated" else name


def _alarms(facts: Facts) -> tuple[str, str, str]:
    watched = len(facts.settings.get("alarm") or ())
    rang = {(line["round"], alert["alarm"]) for line in facts.rounds for alert in line.get("alerts", ())}
    stopped = sum(bool(vetoes(line["decision"], line.get("alerts", ()))) for line in facts.rounds if "decision" in line)
    names = len({name for _, name in rang})
    word = "None rang" if not rang else f"{names} rang, {stopped} of {len(facts.rounds)} rounds vetoed"
    return "Alarms", word, f"{watched} watched in {len(facts.rounds)} rounds"


def _certificates(loop: dict[str, Any]) -> tuple[str, str, str]:
    said = f"{loop['certified']} of {loop['candidates']} models certified"
    if loop.get("alpha") is None:
        return "Certificate", said, "this gate bounds no chance of a false one"
    spent = f"{loop['alpha_spent']:.2g} of it spent"
    return "Certificate", said, f"chance of any false one in this run ≤ {loop['alpha']:g}; {spent}"


def _why(facts: Facts) -> list[Html]:
    """Why nothing was gained, and what to try."""
    if not facts.summary or facts.gained:
        return []
    why, attempt = reasons.reasons(facts.summary, facts.settings, facts.name)
    items = [
        tag("li", f"{why[:1].upper()}{why[1:]}."),
        tag("li", joined(["Try: ", tag("code", attempt) if attempt.startswith("selfimprove ") else f"{attempt}."])),
    ]
    return [tag("div", tag("h3", "Why, and what to try"), tag("ul", *items), class_="why")]
