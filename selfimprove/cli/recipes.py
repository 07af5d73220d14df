"""The command `recipes`: what is shipped, and what each recipe needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from selfimprove.cli.console import Json, out
from selfimprove.errors import MissingError
from selfimprove.report.letters import cut
from selfimprove.safety.redaction import dumps

HEADS = {
    (): "needs nothing but problems: labels are the model's own votes, scores or steps",
    ("answers",): "needs answers that a rule can check",
    ("judge",): "needs a judge that passes its audit form",
    ("answers", "judge"): "needs answers that a rule can check, and a judge",
    ("GPU",): "needs a GPU",
    ("answers", "GPU"): "needs answers that a rule can check, and a GPU",
    ("judge", "GPU"): "needs a judge, and a GPU",
}
"""What recipes need -> the head of their group."""


def recipes(
    search: Annotated[str | None, typer.Option(help="Only recipes with this word, for example vote.")] = None,
    as_json: Json = False,
) -> None:
    """List the shipped recipes, one line each, by what they need."""
    from selfimprove.recipe.shelf import shelf

    found = shelf(search or "")
    if as_json:
        print(dumps([asdict(one) for one in found]))
        return
    if not found:
        raise MissingError(f"no shipped recipe has the word {search!r}; all of them: selfimprove recipes")
    wide = max(len(one.name) for one in found)
    groups: dict[tuple[str, ...], list[str]] = {}
    for one in found:
        groups.setdefault(one.needs, []).append(cut(f"  {one.name:<{wide}}  {one.what}", out.width))
    for needs, lines in groups.items():
        out.print(HEADS.get(needs, f"needs {', '.join(needs)}"), soft_wrap=True)
        for line in lines:
            out.print(line, soft_wrap=True)
        out.print()
    out.print("one of them: selfimprove show RECIPE; what it takes: selfimprove check RECIPE", soft_wrap=True)
