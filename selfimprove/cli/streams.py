"""Standard input, output and errors as they may be: closed, without a reader, full, or for few letters only."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, TextIO, cast


def opened(lasting: bool = False) -> None:
    """Make the three streams usable, whatever the process was given.

    What is closed goes nowhere; otherwise the next file that is opened would get its number, and the output. What a
    stream's encoding lacks is written as an escape. A reader that exits (`| head -1`) only ends the output.

    Args:
        lasting: drop output for whatever reason it cannot be written, such as a full disk. Errors always are.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for number, name in enumerate(("stdout", "stderr"), 1):
        stream = getattr(sys, name)
        if isinstance(stream, _Stream):
            stream = stream.stream
        elif stream is None:
            stream = os.fdopen(number, "w", encoding="utf-8", closefd=False)
        with contextlib.suppress(AttributeError):  # a test may have put another kind of stream in its place
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, cast(TextIO, _Stream(stream, OSError if lasting or number == 2 else BrokenPipeError)))


def closed() -> None:
    """Write what is left to be written, and drop it where that fails: Python would do so again at its end, aloud."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                _to_nowhere(stream.fileno())


class _Stream:
    """A stream whose output goes nowhere from its first error of a kind on."""

    def __init__(self, stream: Any, drops: type[OSError]) -> None:
        self.stream, self._drops = stream, drops

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except self._drops:
            return self._drop(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except self._drops:
            self._drop("")

    def _drop(self, text: str) -> int:
        _to_nowhere(self.stream.fileno())
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _to_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
