"""The command `serve`: a certified policy behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from selfimprove.cli.console import Overrides, err, say, threads


def serve(
    target: Annotated[str, typer.Argument(metavar="RUN_OR_CHECKPOINT", help="A run (its champion) or a model folder.")],
    overrides: Overrides = None,
    refinement: Annotated[
        str | None,
        typer.Option(
            help="How answers are made: greedy, self_consistency, ..., several with commas, or none: as each request "
            "says; default: the run's own, which the exam measured."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Another one than this machine needs a key in SELFIMPROVE_API_KEY.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any that is free.")] = 8000,
    name: Annotated[str | None, typer.Option(help="The model's name for clients; default: that of the folder.")] = None,
    tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Most tokens of a completion; default: the engine's.")
    ] = None,
    requests: Annotated[int, typer.Option("--max-requests", min=1, help="Most requests at a time.")] = 1024,
    body: Annotated[int, typer.Option("--max-body", min=1, help="Most bytes of a request.")] = 1 << 20,
) -> None:
    """Serve a run's champion, or a model, behind an OpenAI-compatible endpoint; says whether an exam measured it."""
    from selfimprove.serving import server, vllm_server

    server.installed()
    key, listening = server.key_for(host), server.listen(host, port)
    threads()
    from selfimprove.serving.served import served as found

    with tempfile.TemporaryDirectory(prefix="selfimprove-") as scratch:
        served = found(target, refinement, overrides or [], Path(scratch), Notes(), name)
        if vllm_server.suits(served):
            at = listening.getsockname()[1]
            listening.close()
            say(served.told())
            vllm_server.replace_process(served, host, at, key)
        say(f"{served.name}: {served.told()}")
        say("answers by " + (" then ".join(served.refinements) or "plain samples, drawn as each request says"))
        ready = f"ready at {server.address(listening)}, {'with a key' if key else 'without a key'}; Ctrl-C stops it"
        server.run(served, listening, key, tokens, requests, body, lambda: say(ready))
    say("stopped")


class Notes:
    """A log that shows remarks of the engine and nothing else."""

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """Not shown."""

    def metric(self, name: str, value: float) -> None:
        """Not shown."""

    def note(self, text: str) -> None:
        """A remark, on the error stream."""
        err.print(text, soft_wrap=True)
