"""The section Guarantee: each test for a certificate, what is covered and what is not, words, and hashes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from selfimprove.report.makers import after, named
from selfimprove.report.page.facts import Facts
from selfimprove.report.page.markup import Html, details, joined, table, tag, terms
from selfimprove.report.page.numbers import NONE, p_value

COVERS = (
    "any trainer, reward and controller: each test uses problems drawn after both models were fixed",
    "all tests of the run together: their levels add up to what is said above at most",
)
NOT_COVERED = (
    "other tasks, or a wrong marking rule",
    "the size of a gain: only the exam says that",
    "problems that share a template",
    "what nobody measures; “loss not ruled out” names guards with too few problems",
    "a second run: ten seeds are ten chances",
)
WORDS = (
    ("champion", "the best certified model; what you get"),
    ("on trial", "passed a lax test; training goes on from it, but it is not champion yet (in the files: incumbent)"),
    ("candidate", "what this round trained"),
    ("certified", "passed a second, stricter test on problems drawn later"),
    ("gained, lost", "problems that only the newer, or only the older, of two models solves"),
    ("kept", "samples that went into training"),
    ("labels right", "share of the kept samples that the task's own rule calls right"),
    ("learning, sharpening", "more problems solved in many tries; only fewer tries needed"),
    ("unclear", "the audit's problems are too few to tell the change since the start from none"),
)


def section(facts: Facts) -> Html:
    """A page that is shared carries its own limits."""
    loop = facts.summary.get("loop", {})
    alpha = loop.get("alpha")
    if alpha is not None:
        lead = joined(
            [
                "The chance that this run certifies any model not better than the champion before it is at most ",
                tag("b", f"{alpha:g}"),
                f". {loop['alpha_spent']:.2g} of it was spent.",
            ]
        )
    elif facts.summary:
        lead = joined(
            ["The gate of this recipe tests no certificates, so it promises nothing; the exam still measures."]
        )
    else:
        lead = joined(["The run is not finished; these are the tests so far."])
    heads = ["when", "test", "result", "gained : lost", "p", "level", "loss not ruled out"]
    rows = list(_tests(facts))
    tests = (
        [table("Tests for a certificate", heads, rows, left=3)]
        if rows
        else [tag("p", "No test for a certificate was made.", class_="meta")]
    )
    return tag(
        "section",
        tag("h2", "Guarantee"),
        tag("p", lead, class_="lead"),
        *tests,
        tag(
            "div",
            tag("div", tag("h3", "It covers"), tag("ul", *(tag("li", one) for one in COVERS))),
            tag("div", tag("h3", "It does not cover"), tag("ul", *(tag("li", one) for one in NOT_COVERED))),
            class_="two even",
        ),
        details("Words on this page", terms(WORDS)),
        details("Proof and versions", terms(_proof(facts))),
        id=facts.id("guarantee"),
    )


def _tests(facts: Facts) -> Iterator[list[str]]:
    """Each test of the model on trial against the champion."""
    for line, made in zip(facts.lines, facts.makers, strict=True):
        decision = line.get("decision")
        if not decision:
            continue
        yield from _test(f"round {line['round']}", decision, named(made.trial), named(made.champion))
        if last := facts.tests.get(line["round"]):
            now = after(made, decision, line["round"])
            yield from _test("last test", last, named(now.trial), named(now.champion))


def _test(when: str, decision: Mapping[str, Any], trial: str, champion: str) -> Iterator[list[str]]:
    numbers = decision.get("statistics", {})
    pair = numbers.get("incumbent")
    if not pair:
        return
    level = numbers.get("alpha_r")
    yield [
        when,
        f"{trial} over {champion}",
        "passed" if decision.get("certified") else "not passed",
        f"{pair['b']} : {pair['c']}",
        p_value(pair["p"]).removeprefix("p ").removeprefix("= ") if isinstance(pair.get("p"), float) else NONE,
        NONE if level is None else f"{level:.3g}",
        ", ".join(numbers.get("unproven", ())) or NONE,
    ]


def _proof(facts: Facts) -> Iterator[tuple[str, str]]:
    for name, signed in (("summary", facts.summary), ("environment", facts.began)):
        if "sha256" in signed:
            yield name, tag("code", f"sha256 {str(signed['sha256'])[:16]}…")
    if facts.ledger:
        yield "ledger head", tag("code", f"{facts.ledger[-1]['hash'][:16]}…")
    versions = {**facts.began.get("versions", {}), "Python": facts.began.get("python", "")}
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)
