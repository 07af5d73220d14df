"""Symlinks in the place of the folders of a run: no checksum covers where they lead."""

from __future__ import annotations

import os
from pathlib import Path

from selfimprove.errors import DataError


def refuse_link(path: Path) -> None:
    """Refuse a symlink in the place of a folder.

    Raises:
        DataError: there is one.
    """
    if path.is_symlink():
        raise DataError(f"{path} is a symlink, not a folder of the run; put the folder in its place")


def check_round(path: Path) -> None:
    """Refuse the folder of a round that is, or has, a symlink: it leads out of the run.

    Raises:
        DataError: it does, or a file is in its place.
    """
    refuse_link(path)
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_symlink():
                    refuse_link(Path(entry.path))
    except NotADirectoryError as error:
        raise DataError(f"{path} is a file, not a folder of the run; move it elsewhere") from error
