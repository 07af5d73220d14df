"""Files that may come from a stranger: opened without following a link and without waiting, and bounded."""

from selfimprove.foreign.plain_files import DEEPEST, LARGEST, check, content, excess, json_in, lines, opened, sized

__all__ = ["DEEPEST", "LARGEST", "check", "content", "excess", "json_in", "lines", "opened", "sized"]
