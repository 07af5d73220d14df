"""The whole page: head with its content security policy, navigation, and the sections of one run or of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from selfimprove.report import damaged
from selfimprove.report.page import alarms, cost, curve, data, guarantee, recipe, rounds, samples, verdict
from selfimprove.report.page.facts import Facts, facts_of
from selfimprove.report.page.markup import Html, escaped, joined, tag
from selfimprove.report.page.numbers import NONE, share, signed
from selfimprove.store import durable
from selfimprove.text import beside

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a browser may do with the page: no script, no request."""
SECTIONS = {
    "verdict": verdict.section,
    "curve": curve.section,
    "rounds": rounds.section,
    "alarms": alarms.section,
    "samples": samples.section,
    "data": data.section,
    "cost": cost.section,
    "recipe": recipe.section,
    "guarantee": guarantee.section,
}
"""Id -> what makes the section, in the order of the page."""
FILE = "report.html"


def write(roots: Sequence[Path], file: Path, public: bool = False) -> None:
    """Write the page of runs into a file.

    Raises:
        MissingError: a folder is not that of a run, or has no finished round.
        DataError: a run is damaged.
        StorageError: the file cannot be written.
    """
    several, runs, bodies = len(roots) > 1, list[Facts](), list[Html]()
    for place, root in enumerate(roots, 1):
        with damaged.told(root):
            runs.append(facts_of(root, public, f"run{place}-" if several else ""))
            bodies.append(_run(runs[-1], several))
    text = page(runs, bodies)
    durable.mkdir(file.parent)
    durable.write(file, text.encode("utf-8", errors="replace"))


def page(runs: Sequence[Facts], bodies: Sequence[Html]) -> str:
    """The page of runs as HTML, with the sections of each. The same runs give the same bytes."""
    first = runs[0]
    several = len(runs) > 1
    name = f"{len(runs)} runs" if several else f"{first.recipe}, seed {first.settings.get('seed', 0)}"
    title = name if several else f"{name}: {verdict.title(first)}"
    meta = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # Written as it is, because a browser reads this element before all others.
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="description", content=str(first.summary.get("verdict", "a run that is not finished"))),
    ]
    head = tag("head", *meta, tag("title", title), tag("style", Html(beside(__name__, "page.css"))))
    top = tag("a", "To the verdict", class_="skip", href=f"#{first.id('verdict')}")
    version = escaped(str(first.began.get("versions", {}).get("selfimprove", "")))
    foot = tag(
        "footer",
        tag("div", f"Made by selfimprove {version}. This page runs no scripts and loads nothing.", class_="wrap"),
    )
    head_line = tag("header", tag("div", *_header(runs), class_="wrap"))
    whole = tag("body", top, head_line, tag("main", *_table(runs, several), *bodies, class_="wrap"), foot)
    return f'<!doctype html>\n<html lang="en">{head}{whole}</html>\n'


def _header(runs: Sequence[Facts]) -> list[Html]:
    facts = runs[0]
    crumb = tag("p", "selfimprove report", class_="crumb")
    if len(runs) > 1:
        links = [tag("a", one.name, href=f"#{one.id('verdict')}") for one in runs]
        return [crumb, tag("h1", f"{len(runs)} runs"), tag("nav", *links, aria_label="Runs")]
    n = len(facts.rounds)
    small = tag("small", f"seed {facts.settings.get('seed', 0)}, {'1 round' if n == 1 else f'{n} rounds'}")
    names = [name for name in SECTIONS if not (name == "samples" and facts.public)]
    links = [tag("a", name.capitalize(), href=f"#{facts.id(name)}") for name in names]
    return [crumb, tag("h1", facts.recipe, " ", small), tag("nav", *links, aria_label="Sections")]


def _run(facts: Facts, several: bool) -> Html:
    made = [make(facts) for name, make in SECTIONS.items() if not (name == "samples" and facts.public)]
    head = (
        [
            tag(
                "h1",
                facts.recipe,
                " ",
                tag("small", f"seed {facts.settings.get('seed', 0)}, {facts.name}"),
                class_="run",
            )
        ]
        if several
        else []
    )
    return joined([*head, *made])


def _table(runs: Sequence[Facts], several: bool) -> list[Html]:
    """One verdict line for each run, above the runs themselves."""
    if not several:
        return []
    rows = []
    for facts in runs:
        sealed = facts.summary.get("sealed")
        scores = [share(sealed[who]) for who in ("start", "champion")] if sealed else [NONE, NONE]
        gain = f"{signed(sealed['delta'])} [{signed(sealed['ci'][0])}, {signed(sealed['ci'][1])}]" if sealed else NONE
        name = tag("a", facts.name, href=f"#{facts.id('verdict')}")
        cells = [facts.recipe, str(facts.settings.get("seed", 0)), *scores, gain, verdict.title(facts)]
        rows.append(tag("tr", tag("th", name, scope="row"), *(tag("td", cell) for cell in cells)))
    heads = ("run", "recipe", "seed", "start", "champion", "points", "verdict")
    head = tag("thead", tag("tr", *(tag("th", one, scope="col") for one in heads)))
    made = tag("table", tag("caption", "The runs and their verdicts", class_="vh"), head, tag("tbody", *rows))
    return [tag("section", tag("h2", "Verdicts"), tag("div", made, class_="scroll"), id="verdicts")]
