"""The command `demo`: three acts that show what the loop promises."""

from __future__ import annotations

import contextlib
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from selfimprove.cli import streams
from selfimprove.cli.console import out, progress_screen, say, threads
from selfimprove.errors import StoppedError


def demo(
    folder: Annotated[
        Path | None, typer.Option("--out", help="Keep the three runs here; default: a temporary folder.")
    ] = None,
) -> None:
    """Show in two minutes what the loop promises: a gain is certified, votes are refused, a leak is caught."""
    threads()
    streams.opened(lasting=True)
    from selfimprove.report.letters import fitted, width
    from selfimprove.studies import demo as acts

    began, broken = time.monotonic(), list[str]()
    with contextlib.ExitStack() as held:
        place = folder or Path(held.enter_context(tempfile.TemporaryDirectory(prefix="selfimprove-demo-")))
        say(f"three short runs of a tiny model in {place}; the first one builds it")
        screen = held.enter_context(progress_screen())
        for number, shown in enumerate(acts.play(place, acts.Glimpse(screen)), 1):
            broken += [] if shown.kept else [f"act {number}, {shown.act.promise}"]
            head = f"act {number}  {shown.act.promise if shown.kept else 'NOT AS PROMISED: ' + shown.act.promise}"
            out.print(Text(f"{head:<36}{shown.seconds:>5.0f} s", "green" if shown.kept else "red"), soft_wrap=True)
            for line in textwrap.wrap(fitted(shown.seen, out), width(out) - 7):
                out.print(f"       {line}", soft_wrap=True)
    if broken:
        raise StoppedError(f"{'; '.join(broken)}: not as promised. Please report it, with what selfimprove doctor says")
    say(f"all three ended as promised, in {time.monotonic() - began:.0f} s")
    kept = f"selfimprove report {folder}/gain" if folder else "selfimprove demo --out demo, to look at the runs"
    say(f"next  selfimprove run quickstart\n      {kept}")
