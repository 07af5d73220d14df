"""The command `check`: compose a recipe, check that its parts fit, and estimate its cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from selfimprove.cli.console import Json, Overrides, RecipeName, out, progress_screen, say, threads
from selfimprove.errors import RecipeError
from selfimprove.safety.redaction import dumps

if TYPE_CHECKING:
    from selfimprove.recipe.cost import Estimate
    from selfimprove.report.pace import Expected


SELDOM = {"calls": "tool calls", "copies": "copies of the weights"}
"""What has a column in the table only where a recipe takes some of it."""


def check(
    recipe: RecipeName,
    overrides: Overrides = None,
    like: Annotated[
        Path | None,
        typer.Option(help="A run of the same recipe on this machine, one round or more: hours go by its pace."),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Draw and train here for at most a minute: hours go by that.")
    ] = False,
    rows: Annotated[
        int, typer.Option(min=1, help="Rows of the pool, for a recipe that only names selections.")
    ] = 1_000_000,
    as_json: Json = False,
) -> None:
    """Compose a recipe, check that its stages fit, and estimate its cost; loads a model only with --calibrate."""
    from selfimprove import registry
    from selfimprove.problems import room
    from selfimprove.recipe import checks, compose, cost

    if calibrate and like is not None:
        raise RecipeError("--calibrate and --like both say how fast it goes; give one of them")
    if _check_pool(recipe, overrides or [], rows, as_json):
        return
    composed, _ = compose.load(recipe, overrides or [])
    with room.first_look():  # of data; a run reads all of it
        remarks = checks.preflight(composed, elsewhere=not calibrate)  # a login node may check for a GPU node
        price = cost.estimate(composed)
    remarks += price.remarks
    pace, measured = None, dict[str, float]()
    if like is not None:
        from selfimprove.report import pace as paces

        pace = paces.like(price, like, compose.find(recipe).stem)
    elif calibrate:
        pace, measured = _calibrated(recipe, overrides or [], price)
    methods = {slot: list(getattr(composed, slot)) for slot in registry.SLOTS}
    if as_json:
        found: dict[str, Any] = {"recipe": recipe, "rounds": composed.rounds, "seed": composed.seed}
        found |= {"methods": methods, "remarks": remarks, "at_most": price.bound, "disk": price.disk}
        found |= {"hours": pace and pace.hours, "tokens_expected": pace and pace.tokens, "measured": measured}
        print(dumps(found | {"parts": {name: part._asdict() for name, part in price.parts.items()}}))
        return
    table = Table(title=f"{recipe}: {composed.rounds} rounds, seed {composed.seed}", show_header=False)
    for slot, names in methods.items():
        table.add_row(slot, ", ".join(names) or "-")
    out.print(table)
    table = Table(title="cost, at most" if price.bound else "cost, about")
    shown = {"completions": "completions", "tokens": "tokens", "scored": "scored", "steps": "training steps"}
    shown |= {name: title for name, title in SELDOM.items() if getattr(price.run, name)}
    table.add_column("part")
    for title in shown.values():
        table.add_column(title, justify="right")
    for name, part in [*price.parts.items(), ("run", price.run)]:
        table.add_row(name, *(f"{getattr(part, kind):,}" for kind in shown))
    out.print(table)
    for remark in remarks:
        say(remark)
    run, most = price.run, "at most" if price.bound else "about"
    scored = f", {run.scored:,} of them scored again" if run.scored else ""
    say(
        f"{most} {run.completions:,} completions{scored}, {run.tokens:,} tokens if each is as long as it may be, "
        f"{run.steps:,} training steps; "
        + (f"about {price.disk / 1e6:,.0f} MB on the disk" if price.disk else "disk: see the size of the model's files")
    )
    if measured:
        say(
            f"measured here: {measured['tokens_per_completion']:.1f} tokens per completion, "
            f"{measured['completions_per_second']:.1f} completions/s"
            + (f", {measured['steps_per_second']:.2f} training steps/s" if "steps_per_second" in measured else "")
        )
    if pace is not None:
        by = f"the pace of {like}" if like else "what was measured"
        time = f"{pace.hours:.1f} hours" if pace.hours >= 1 else f"{60 * pace.hours:.1f} minutes"
        say(f"about {pace.tokens:,} tokens and {time} by {by}")


def _check_pool(recipe: str, overrides: list[str], rows: int, as_json: bool) -> bool:
    """Whether a recipe is one for `select`, and then what its selections take for a pool of so many rows."""
    from selfimprove.recipe import compose
    from selfimprove.recipe.layers import layers

    found = layers(compose.find(recipe), compose.shipped())
    named = {slot for layer in found for item in layer.methods for slot in item}
    if "selection" not in named or named - {"selection", "task", "model", "engine"}:
        return False
    from selfimprove.recipe import checks
    from selfimprove.studies.pool.chain import chain_of

    chain = chain_of(recipe, overrides)
    checks.check_needs(chain.recipe)
    costs = chain.cost(rows)
    if as_json:
        parts = [{"name": name, "rows": flow.records, **cost._asdict()} for name, flow, cost in costs]
        print(dumps({"recipe": recipe, "rows": rows, "selection": parts}))
        return True
    table = Table(title=f"{recipe}: select from {rows:,} rows, at most")
    for column in ("selection", "rows", "completions", "tokens", "scored"):
        table.add_column(column, justify="left" if column == "selection" else "right")
    for name, flow, cost in costs:
        table.add_row(name, *(f"{number:,}" for number in (flow.records, cost.completions, cost.tokens, cost.scored)))
    out.print(table)
    asks = [name for name in chain.methods if chain.scores(name)]
    model = f"the model is loaded once, for {', '.join(asks)}" if asks else "no model is loaded"
    say(f"the pool is read {len(costs) + 1} times and once to write; {model}")
    return True


def _calibrated(recipe: str, overrides: list[str], price: Estimate) -> tuple[Expected, dict[str, float]]:
    """What an estimate comes to by a calibration, and what that measured."""
    threads()
    from selfimprove.report.pace import expected
    from selfimprove.studies.calibrate import calibrate

    with progress_screen() as screen:
        parts = calibrate(recipe, overrides, price, screen)
    drawn, trained = parts["data"], parts.get("training")
    said = {
        "tokens_per_completion": drawn.cost.tokens / max(1, drawn.cost.completions),
        "completions_per_second": drawn.cost.completions / drawn.seconds,
    }
    if trained:
        said["steps_per_second"] = trained.cost.steps / trained.seconds
    return expected(price, parts), said
