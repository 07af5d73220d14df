"""The command `init`: a recipe to change, on standard output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from selfimprove.errors import RecipeError

if TYPE_CHECKING:
    from selfimprove.recipe.starter import Answers

RULES = ("exact", "choice", "math", "none")


def init(
    recipe: Annotated[
        str | None, typer.Argument(help="A shipped recipe; without one, five questions are asked.")
    ] = None,
) -> None:
    """Print a recipe for your own model and data: selfimprove init rest_em > mine.yaml."""
    from selfimprove.recipe import places, starter
    from selfimprove.safety.redaction import shown

    if recipe is not None:
        path = places.find(recipe)
        text = starter.annotated(path.stem, path.read_text(encoding="utf-8"))
    elif sys.stdin is None or not sys.stdin.isatty():
        raise RecipeError("name a recipe: selfimprove init rest_em > mine.yaml; the names: selfimprove recipes")
    else:
        text = starter.built(_asked())
    sys.stdout.write(shown(text))


def _asked() -> Answers:
    """The answers to the five questions, asked on standard error: standard output is the recipe."""
    from selfimprove.recipe import places, starter

    typer.echo("Five questions; Enter takes what stands in brackets.", err=True)
    model = _ask("1. The model: a folder or a hub id, or tiny for a first try", "tiny")
    data, rule = "none", "math"
    if model == "tiny":
        typer.echo("2. and 3. The tiny model answers problems of its own, which a rule checks", err=True)
    else:
        data = _ask("2. Your problems: a file with one JSON object a line, or none for the recipe's own", "none")
    if data != "none":
        if not starter.is_known(data):
            typer.echo(f"   there is no file {data} yet; put it there before the run", err=True)
        rule = _ask(f"3. How answers are compared: {', '.join(RULES)} (there are no answers)", "exact")
        while rule not in RULES:
            rule = _ask(f"   one of {', '.join(RULES)}", "exact")
    elif model != "tiny":
        typer.echo("3. How answers are compared: as the recipe's own task does", err=True)
    base = _ask("4. The recipe to build on (selfimprove recipes)", "rest_em" if model != "tiny" else "quickstart")
    places.find(base)
    rounds = _ask("5. How many rounds", "3")
    while not rounds.isdecimal():
        rounds = _ask("   a whole number", "3")
    return starter.Answers(
        base=base,
        model="" if model == "tiny" else model,
        data="" if data == "none" else data,
        rule="" if rule == "none" else rule,
        rounds=int(rounds),
    )


def _ask(question: str, default: str) -> str:
    return str(typer.prompt(question, default=default, err=True)).strip()
