"""The signs and colours that a console can show: all of them at a terminal in UTF-8, plain ASCII everywhere else."""

from __future__ import annotations

import os

from rich.console import Console

WIDEST = 100
"""Most columns of a line."""
ASCII = str.maketrans(
    {
        **{"→": "->", "±": "+-", "≤": "<=", "━": "#", "─": ".", "…": "..."},
        **{"✓": "+", "◇": "?", "✗": "x", "·": "-"},
    }
)
"""Each sign that this program writes of its own, and what stands for it in ASCII."""


def fancy(console: Console) -> bool:
    """Whether a console is a terminal in UTF-8, and nobody refuses colours with NO_COLOR."""
    return bool(
        console.is_terminal
        and not console.is_dumb_terminal
        and not console.no_color
        and console.encoding.lower().startswith("utf")
    )


def fitted(text: str, console: Console) -> str:
    """The text with the program's own signs as the console can show them."""
    return text if fancy(console) else text.translate(ASCII)


def width(console: Console) -> int:
    """Columns of a line: those of the terminal, or of COLUMNS, at most 100; 100 where nobody says how many."""
    known = console.is_terminal or os.environ.get("COLUMNS", "").isdecimal()
    return min(WIDEST, console.width) if known else WIDEST


def duration(seconds: float) -> str:
    """`6.3s`, `310s`, `40min`, `2.5h`: at most six characters up to a thousand hours."""
    if seconds < 100:
        return f"{seconds:.1f}s"
    if seconds < 600:
        return f"{seconds:.0f}s"
    return f"{seconds / 60:.0f}min" if seconds < 6000 else f"{seconds / 3600:.1f}h"


def cut(text: str, columns: int) -> str:
    """The text, with `...` for its end if it is longer."""
    return text if len(text) <= columns else text[: max(0, columns - 3)].rstrip() + "..."
