"""The page of runs as one HTML file, for `report --html` and the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from selfimprove.errors import RecipeError


def write_page(given: Sequence[Path], public: bool) -> str:
    """Write the page of runs; returns what to say about it.

    Args:
        given: run folders, and at most one name that ends in .html: the file. Without it, `RUN/report.html`, or
            `report.html` for several runs.

    Raises:
        RecipeError: there is no run folder, or more than one file.
    """
    from selfimprove.report.page import page

    named = [path for path in given if path.suffix == ".html" and not path.is_dir()]
    roots = [path for path in given if path not in named]
    if not roots or len(named) > 1:
        raise RecipeError("name a run folder, and at most one file: selfimprove report RUN --html page.html")
    file = named[0] if named else roots[0] / page.FILE if len(roots) == 1 else Path(page.FILE)
    page.write(roots, file, public)
    return f"{file}: {file.stat().st_size / 1000:.0f} kB, one file that loads nothing and runs no script"


def at_the_end(root: Path) -> str:
    """Write the page of a run that has just ended; returns what to say, also if it could not be written.

    The run is done and stays done, whatever the page meets.
    """
    from selfimprove.report.page import page

    try:
        page.write([root], root / page.FILE)
        return ""
    except Exception as error:
        return f"{root / page.FILE} could not be written: {error or type(error).__name__}"
