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

from collections.abc import Sequence

MOST = 5
"""Problems that one message lists."""


class UserError(Exception):
    """What is wrong, where, and what to type next, in one line."""

    code = 2


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
