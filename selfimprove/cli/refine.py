"""The command `refine`: which refinement is worth its tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfimprove.cli.console import Json, Overrides, out, progress_screen, say, threads
from selfimprove.errors import RecipeError
from selfimprove.safety.redaction import dumps


def refine(
    target: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE_OR_CHECKPOINT", help="A recipe (its start model), a model or a run folder."),
    ] = None,
    overrides: Overrides = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="What to compare, for example self_consistency:samples=4/16,revise+self_consistency; default: all "
            "that learn nothing at a cost and fit the task and the engine."
        ),
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help="Budgets of tokens for an answer, for example 100,200; default: no limit.")
    ] = None,
    problems: Annotated[int, typer.Option(help="Most selection problems to use.")] = 200,
    seed: Annotated[int | None, typer.Option(help="Of problems and draws; default: that of the recipe.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Keep the samples, the figures and a plot in this folder.")
    ] = None,
    stored: Annotated[
        Path | None, typer.Option("--replay", help="Score on the samples in this folder, without a model.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare refinements at equal tokens: accuracy, tokens, seconds, and what is dominated by votes or one sample."""
    if (target is None) == (stored is None):
        raise RecipeError("name one of the two: a recipe or checkpoint, or --replay DIR with stored samples")
    if stored is not None and seed is not None:
        raise RecipeError("--seed has no use with --replay: the samples are there")
    named = None if methods is None else [one for one in methods.split(",") if one.strip()]
    budgets = _numbers(tokens)
    threads()
    from selfimprove.report import plots, refinement
    from selfimprove.store import durable
    from selfimprove.studies import refine as study

    with progress_screen() as screen:
        if stored is not None:
            changes = [*([target] if target else []), *(overrides or [])]
            findings = study.replay(stored, changes, named, budgets, screen.begin)
        else:
            assert target is not None
            findings = study.refine(
                target, overrides or [], named, budgets, problems, folder, seed, screen, screen.begin
            )
    if folder is not None:
        durable.mkdir(folder)
        durable.write(folder / "refine.json", (dumps(refinement.plain(findings)) + "\n").encode())
        for kind in (".svg", ".png") if plots.available() else ():
            plots.frontier(findings, folder / f"refine{kind}")
    if as_json:
        print(dumps(refinement.plain(findings)))
        return
    out.print(refinement.table(findings))
    for line in refinement.lines(findings):
        say(line)
    if folder is not None and not plots.available():
        say("no plot: pip install 'selfimprove[plot]'")


def _numbers(text: str | None) -> list[int]:
    """The budgets.

    Raises:
        RecipeError: they are not whole numbers with commas between them.
    """
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise RecipeError(f"--tokens {text} is not a list of numbers; write it as 100,200")
    return [int(part) for part in parts]
