"""The command `export`: the champion of a run as a model folder, on the Hub, or as a GGUF file."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from selfimprove.cli.console import say
from selfimprove.errors import RecipeError


def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    to: Annotated[str, typer.Option(help="A new folder, hub:USER/NAME, gguf, or gguf:FILE.")],
    name: Annotated[str | None, typer.Option(help="The model's name; default: that of the run's folder.")] = None,
    base: Annotated[str | None, typer.Option("--base-model", help="The Hub's id of the start, for the card.")] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="For the card; default: what the card of the start says.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option("--lm-eval", help="A results file of lm-eval on this champion, for the card.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository on the Hub private.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Push to the Hub without asking.")] = False,
) -> None:
    """Write a run's champion with a model card: as a folder, to the Hub (asks first), or as GGUF."""
    from selfimprove.sharing import folder as folders
    from selfimprove.sharing import gguf, hub
    from selfimprove.sharing.exported import exported

    where, _, place = to.partition(":")
    hubs, ggufs = where == "hub" and bool(place), where == "gguf"
    token = hub.check(place) if hubs else ""
    if ggufs:
        gguf.converter()  # before anything is read
    one = exported(folder, name or (place.rpartition("/")[2] if hubs else None), base, licence)
    say(f"{one.name}: {one.summary['verdict']}")
    if not hubs and not ggufs:
        files = folders.write(one, Path(to), results)
        say(f"{len(files)} files in {to}: {', '.join(files)}")
        if not one.license:
            say("the card names no licence: add --license ID, such as apache-2.0")
        return
    with tempfile.TemporaryDirectory(prefix="selfimprove-") as scratch:
        made = Path(scratch) / one.name
        files = folders.write(one, made, results)
        if ggufs:
            out = Path(place or f"{one.name}.gguf")
            gguf.convert(made, out)
            (out.with_suffix(".md")).write_text((made / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
            say(f"{out}, and its card {out.with_suffix('.md')}")
            return
        size = sum((made / file).stat().st_size for file in files) / 1e6
        _agreed(f"push {len(files)} files ({size:.1f} MB) to {place}, {'private' if private else 'public'}?", yes)
        say(f"pushed: {hub.push(made, place, token, private)}")


def _agreed(question: str, yes: bool) -> None:
    """Ask a person.

    Raises:
        RecipeError: there is none, or the answer is no.
    """
    if yes:
        say(question.replace("?", ""))
    elif not sys.stdin.isatty():
        raise RecipeError(f"{question} Nobody can be asked here: add --yes")
    elif not typer.confirm(question):
        raise RecipeError("nothing was pushed")
