"""Files that may come from a stranger: opened without following a link and without waiting, and bounded."""

from selfimprove.foreign.bounded_json import DEEPEST, excess
from selfimprove.foreign.free_memory import check_dense, check_fits, free
from selfimprove.foreign.plain_files import LARGEST, check, content, json_in, lines, opened, sized
from selfimprove.foreign.whole_numbers import whole_number

__all__ = [
    "DEEPEST",
    "LARGEST",
    "check",
    "check_dense",
    "check_fits",
    "content",
    "excess",
    "free",
    "json_in",
    "lines",
    "opened",
    "sized",
    "whole_number",
]
