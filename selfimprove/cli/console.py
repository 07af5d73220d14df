"""The consoles that commands print on, and the options that they share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from selfimprove.safety.redaction import shown


class _Terminal(Console):
    """Prints plain text: no control characters or secrets, and no interpretation of markup or emoji codes."""

    def render_str(self, text: str, **given: Any) -> Text:
        return super().render_str(shown(text), **{**given, "markup": False, "emoji": False, "highlight": False})


out, err = _Terminal(), _Terminal(stderr=True)
Overrides = Annotated[list[str] | None, typer.Argument(help="Changes to the recipe: rounds=5 model=pretrained ...")]
RecipeName = Annotated[str, typer.Argument(help="Path of a recipe, or the name of a shipped one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def points(delta: float, ci: Sequence[float]) -> str:
    """A difference of accuracies in points, with its interval."""
    return f"{100 * delta:+.1f} [{100 * ci[0]:+.1f}, {100 * ci[1]:+.1f}]"


def say(text: str) -> None:
    """Print a line."""
    out.print(text, soft_wrap=True)


Verbose = Annotated[bool, typer.Option("--verbose", help="Also p-values, seconds of each step, and the diagnosis.")]


def progress_screen(verbose: bool = False) -> Any:
    """The live line of progress, and the rows of a run, on the error stream."""
    from selfimprove.report.terminal import Screen

    return Screen(err, verbose=verbose)


def threads() -> None:
    """Fix the number of threads before torch is imported, because results depend on it."""
    from selfimprove.cli.doctor import cores

    os.environ.setdefault("OMP_NUM_THREADS", str(cores()))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
