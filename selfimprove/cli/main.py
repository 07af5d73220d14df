"""The entry point of the command line: exit codes, one line for a user's mistake, a report for a bug."""

from __future__ import annotations

import contextlib
import copy
import re
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType, TracebackType
from typing import Annotated

import typer

from selfimprove import __version__
from selfimprove.cli import (
    check,
    commands,
    demo,
    export,
    first_screen,
    init,
    lineage,
    mark,
    methods,
    promises,
    prune,
    recipes,
    refine,
    run,
    samples,
    select,
    serve,
    status,
    streams,
    track,
)
from selfimprove.cli.console import err
from selfimprove.errors import UserError, of_machine
from selfimprove.safety.redaction import shown

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # typer's rich help alone takes 0.2 s to import
)


@app.callback(invoke_without_command=True)
def begin(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Self-improving language models: every published loop is a recipe of 25 lines."""
    if version:
        print(f"selfimprove {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        known = (one for one in app.registered_commands if one.callback and not one.hidden)
        print(first_screen.first_screen([one.name or one.callback.__name__ for one in known if one.callback]))


app.command()(run.run)
app.command()(run.resume)
app.command()(status.status)
app.command()(samples.samples)
app.command(name="eval")(commands.evaluate)
app.command()(mark.mark)
app.command()(select.select)
app.command()(commands.diagnose)
app.command()(refine.refine)
app.command()(check.check)
app.command()(demo.demo)
app.command()(recipes.recipes)
app.command()(init.init)
app.command(name="list")(methods.list_methods)
app.command()(methods.show)
app.command()(commands.report)
app.command()(commands.compare)
app.command()(commands.bench)
app.command()(serve.serve)
app.command()(export.export)
app.command()(commands.doctor)
app.command()(prune.prune)
app.command()(track.track)
app.command()(lineage.why)
app.command()(lineage.blame)
app.command()(lineage.replay)
app.command()(promises.verify)
app.command()(promises.chaos)
app.command()(promises.selftest)
app.command(hidden=True)(run.step)

INTERRUPTED = 130
"""The exit code of Ctrl-C."""
UNFINISHED = "Finished steps are kept; fix this, then: selfimprove resume"
"""What storage says of a disk; `run` and `resume` add the folder, and for other commands there is nothing to resume."""


def main() -> None:
    """Run a command. A user's mistake gives one line and a documented exit code, a bug its traceback.

    Raises:
        SystemExit: always, except for a bug.
    """
    terminated = list[int]()

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
        terminated.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminate)
    sys.excepthook = _bug
    try:
        Path.cwd()  # where it is gone, a library of torch ends the process by itself
        code = _alone(sys.argv[1:2])(standalone_mode=False)
        if code == INTERRUPTED:  # typer turns KeyboardInterrupt into this code
            raise KeyboardInterrupt
        sys.stdout.flush()
        sys.exit(code)
    except UserError as error:
        said = str(error)
        again = said.removesuffix(UNFINISHED) + "Fix this, then type the command again"
        _fail(again if said.endswith(UNFINISHED) else said, error.code)
    except KeyboardInterrupt:
        _fail("interrupted", 143 if terminated else INTERRUPTED)
    except Exception as error:
        message = getattr(error, "format_message", None)  # a wrong argument; typer does not export the class
        if message is not None:
            _fail(_advised(message()), 2)
        if (known := of_machine(error)) is None:
            raise
        _fail(str(known), known.code)


def _alone(words: list[str]) -> typer.Typer:
    """The app with the one command that is named, because typer takes 0.07 s to prepare all; else the whole app."""
    named = [one for one in app.registered_commands if [one.name or getattr(one.callback, "__name__", "")] == words]
    if not named:
        return app
    alone = copy.copy(app)
    alone.registered_commands = named
    return alone


def _advised(message: str) -> str:
    """What is wrong with an argument; a value of the recipe that was given as an option is told how it is written."""
    from dataclasses import fields

    from selfimprove.recipe.schema import Recipe

    option = re.match(r"No such option: --([\w-]+)", message)
    name = option[1].replace("-", "_") if option else ""
    known = name in {field.name for field in fields(Recipe)}
    return f"{message}. Values of the recipe are written without dashes: {name}=VALUE" if known else message


def _fail(message: str, code: int) -> None:
    with contextlib.suppress(OSError):  # nobody listens
        err.print(f"error: {' '.join(message.splitlines())}", soft_wrap=True)
    streams.closed()
    sys.exit(code)


def _bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The traceback of a bug, with text from a recipe or a model made safe."""
    sys.stderr.write(shown("".join(traceback.format_exception(kind, error, trace))))
