"""The commands `list` and `show`: the methods that a recipe can name, and recipes as they are written."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from selfimprove.cli.console import out
from selfimprove.errors import RecipeError
from selfimprove.report.letters import cut
from selfimprove.safety.redaction import shown

SLOTS = {
    "task": "problems, and the rule that marks answers",
    "model": "the weights of round 0",
    "engine": "runs the model",
    "acquisition": "where data comes from",
    "reward": "which completion is better",
    "selection": "which records train",
    "sampler": "what each training step uses",
    "optimization": "how the weights change",
    "refinement": "how an answer is made",
    "evaluation": "what a round measures",
    "alarm": "known ways to fail",
    "gate": "whether a candidate is accepted",
    "controller": "what the next round changes",
    "launcher": "where steps run",
    "tracker": "where a run is shown",
}
"""Slot -> what it decides."""


def list_methods(slot: Annotated[str | None, typer.Argument(help="One slot only.")] = None) -> None:
    """List the methods that a recipe can name, one line each, by slot."""
    from selfimprove import registry

    if slot is not None and slot not in registry.SLOTS:
        raise RecipeError(f"no slot is called {slot!r}.{registry.nearest(slot, registry.SLOTS)}")
    columns = out.width
    for place, name in enumerate([slot] if slot else registry.SLOTS):
        lines = registry.lines(name)
        wide = max(len(line.name) for line in lines)
        if place:
            out.print()
        out.print(f"{name}: {SLOTS[name]}", soft_wrap=True)
        for line in lines:
            paper = f"{line.paper:<10}  " if columns >= 100 else ""
            text = shown(f"  {line.name:<{wide}}  {paper}{line.summary}").rstrip()
            out.print(cut(text, columns), soft_wrap=True)
    out.print()
    out.print(f"one of them: selfimprove show {slot or 'SLOT'} METHOD", soft_wrap=True)


def show(
    name: Annotated[str, typer.Argument(metavar="SLOT|RECIPE", help="A slot, such as selection, or a recipe.")],
    method: Annotated[str | None, typer.Argument(help="Of a slot: the method, for example threshold.")] = None,
) -> None:
    """Show a method: what it does, its paper, and its options; or a recipe as it is written."""
    from selfimprove import registry

    if method is None:
        _recipe(name)
        return
    entry = registry.find(name, method)
    out.print(registry.document(entry), markup=False, highlight=False)
    table = Table(title=f"options of {name}.{method}")
    for column in ("option", "default", "help"):
        table.add_column(column)
    for option in registry.options(entry.method):
        table.add_row(option.name, option.default, option.help)
    out.print(table)


def _recipe(name: str) -> None:
    """Print a recipe file.

    Raises:
        RecipeError: the name is that of a slot, or the file holds no recipe.
        MissingError: there is no such recipe.
    """
    from selfimprove import registry
    from selfimprove.recipe import places, yaml_file

    if name in registry.SLOTS:
        raise RecipeError(f"{name} is a slot; name one of its methods too. They are in: selfimprove list {name}")
    path = places.find(name)
    yaml_file.read(path)  # whatever is wrong with it is said in one line
    out.print(path.read_text(encoding="utf-8"), soft_wrap=True, end="")
