"""Errors that a user can fix, and the exit codes of the program.

The command line prints a `UserError` as one line and exits with its code. Any other exception is a bug and keeps its
traceback.

    0 done                      66 missing input
    1 internal error (a bug)    69 engine unavailable
    2 bad recipe or arguments   74 input/output error, no space left
    3 stopped by a rule         75 busy: another process holds the run folder
    4 waits for a person        130 Ctrl-C, 143 SIGTERM
    65 bad data or checkpoint
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

MOST, LONGEST = 5, 1400
"""Problems that one message lists, and its characters."""


class UserError(Exception):
    """What is wrong, where, and what to type next, in one line; of a very long one the middle is left out."""

    code = 2

    def __init__(self, message: str = "") -> None:
        super().__init__(message if len(message) <= LONGEST else f"{message[: LONGEST // 2]} ... {message[-400:]}")


class RecipeError(UserError):
    """The recipe or a command-line argument cannot be used."""


class Refused(RecipeError):
    """A method did something forbidden or undeclared: a bug of the method that the message names."""


class StoppedError(UserError):
    """A rule of the recipe ended the run before its last round; finished rounds are kept."""

    code = 3


class WaitingError(UserError):
    """The run waits for a person to approve or reject a proposal (autonomy 1)."""

    code = 4


class DataError(UserError):
    """A data file, a checkpoint or a stored step is damaged or has the wrong form."""

    code = 65


class MissingError(UserError):
    """A named file or folder does not exist."""

    code = 66


class EngineError(UserError):
    """The engine or a package that it needs is not available."""

    code = 69


class DeviceError(EngineError):
    """The recipe asks for a device that this machine does not have; another machine may."""


class StorageError(UserError):
    """Writing failed: no space left, no permission, or a device error."""

    code = 74


class InterruptedRunError(UserError):
    """Ctrl-C or SIGTERM ended the run; finished steps are kept."""

    code = 130


class BusyError(UserError):
    """Another process works on the same run folder."""

    code = 75


def listed(problems: Sequence[str]) -> str:
    """Join problems into part of one line: the first few, long ones shortened, and the number of the others."""
    short = [problem if len(problem) <= 300 else f"{problem[:297]}..." for problem in problems[:MOST]]
    return "; ".join(short) + (f"; and {len(problems) - MOST} more" if len(problems) > MOST else "")


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG, errno.ESTALE}
"""Error numbers of a disk that is full, failing or read-only."""
SHORT = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
"""Error numbers of a machine that gives no more memory, processes or open files."""
_SHORT = {
    "can't start new thread": "a further thread (see ulimit -u)",
    "failed to map segment": "memory for a library (see ulimit -v)",
    "Cannot allocate memory": "memory for a library (see ulimit -v)",
    "DefaultCPUAllocator": "memory (see ulimit -v)",
}
"""Messages of errors of other types, and what the machine did not give."""
_PLACES = {
    "Could not determine home directory": "a path begins with the home folder of a user who is not known here",
    "Symlink loop from": "a path leads through symlinks that point at each other",
    "embedded null": "a path holds the character NUL",
}
"""Messages of errors of paths that are no OSError, and what is wrong."""


def of_machine(error: BaseException) -> UserError | None:
    """What a machine's fault means for the user; None if the error is no such fault.

    A fault is an error of the operating system, whoever raised it, or a lack of memory, threads or open files.
    """
    if isinstance(error, MemoryError):
        return EngineError("this machine gives no further memory (see ulimit -v); free some, or ask for less at a time")
    if not isinstance(error, OSError):
        lacking = next((what for words, what in _SHORT.items() if words in str(error)), "")
        wrong = next((what for words, what in _PLACES.items() if words in str(error)), "")
        if wrong and isinstance(error, RuntimeError | ValueError):
            return MissingError(f"{wrong}; write another one")
        return EngineError(f"this machine gives no {lacking}") if lacking else None
    place = "" if error.filename is None else f" {str(error.filename)[:200]!r}"
    why = error.strerror or str(error) or type(error).__name__
    if error.errno in FULL:
        again = "Make room, then: selfimprove resume RUN_DIR" if place else "Make room, then type the command again"
        return StorageError(f"cannot write{place}: {why}. {again}")
    if error.errno in SHORT:
        return EngineError(f"this machine gives no more{place}: {why}; see ulimit -a")
    if "temporary directory" in why:
        return StorageError(f"{why}; name a folder in TMPDIR that can be written in")
    if error.errno == errno.ENOENT and not place:
        return MissingError("the current folder no longer exists; change to another one")
    kind = MissingError if error.errno == errno.ENOENT else StorageError
    return kind(f"cannot use{place}: {why}; name another file or folder")
