"""Compose a recipe, check that its parts fit, and say what it will take."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from selfimprove.cli.console import Json, Overrides, RecipeName, out, say
from selfimprove.safety.redaction import dumps


def check(
    recipe: RecipeName,
    overrides: Overrides = None,
    like: Annotated[
        Path | None,
        typer.Option(help="A run of the same recipe on this machine, one round or more: hours go by its pace."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compose a recipe, check that its stages fit, and say what it will take; loads no model."""
    from selfimprove import registry
    from selfimprove.recipe import checks, compose, cost

    composed, _ = compose.load(recipe, overrides or [])
    remarks = checks.preflight(composed, elsewhere=True)  # what a login node checks, a node with a GPU may run
    price = cost.estimate(composed)
    remarks += price.remarks
    hours = None
    if like is not None:
        from selfimprove.report.pace import hours as paced

        hours = paced(price, like, compose.find(recipe).stem)
    methods = {slot: list(getattr(composed, slot)) for slot in registry.SLOTS}
    if as_json:
        found: dict[str, Any] = {"recipe": recipe, "rounds": composed.rounds, "seed": composed.seed}
        found |= {"methods": methods, "remarks": remarks, "at_most": price.bound, "hours": hours, "disk": price.disk}
        print(dumps(found | {"parts": {name: asdict(part) for name, part in price.parts.items()}}))
        return
    table = Table(title=f"{recipe}: {composed.rounds} rounds, seed {composed.seed}", show_header=False)
    for slot, names in methods.items():
        table.add_row(slot, ", ".join(names) or "-")
    out.print(table)
    table = Table(title="what it takes, at most" if price.bound else "what it takes, about")
    for column in ("part", "completions", "tokens", "scored", "training steps"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for name, part in [*price.parts.items(), ("run", price.run)]:
        numbers = (part.completions, part.tokens, part.scored, part.steps)
        table.add_row(name, *(f"{number:,}" for number in numbers))
    out.print(table)
    for remark in remarks:
        say(remark)
    run, most = price.run, "at most" if price.bound else "about"
    scored = f", {run.scored:,} of them scored again" if run.scored else ""
    say(
        f"{most} {run.completions:,} completions{scored}, {run.tokens:,} tokens, {run.steps:,} training steps; "
        + (f"about {price.disk / 1e6:,.0f} MB on the disk" if price.disk else "disk: see the size of the model's files")
        + (f"; about {hours:.2f} hours by the pace of {like}" if hours is not None else "")
    )
