"""Files that may come from a stranger: opened without following a link and without waiting, and bounded."""

from selfimprove.foreign.free_memory import check_fits, free
from selfimprove.foreign.plain_files import DEEPEST, LARGEST, check, content, excess, json_in, lines, opened, sized

__all__ = [
    "DEEPEST",
    "LARGEST",
    "check",
    "check_fits",
    "content",
    "excess",
    "free",
    "json_in",
    "lines",
    "opened",
    "sized",
]
