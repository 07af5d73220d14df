"""The problem in a free text that a model wrote when it was asked for one."""

from __future__ import annotations

import re

_KIND = r"(?:problem|question|task|exercise|instruction|riddle|puzzle|example|one)s?"
_COURTESY = re.compile(
    r"(?:sure(?: thing)?|certainly|of course|ok(?:ay)?|absolutely|alright|all right|gladly|great)"
    r"(?:[,.!:]\s*|\s+[\u2013\u2014-]+\s+|\s*$)",
    re.IGNORECASE,
)
_NOTICE = re.compile(
    r"(?:here(?:'s|\u2019s| is| are| you go| it is)?|below is|i(?:'ve|\u2019ve| have) (?:written|made|created))"
    rf"(?:$|\b[^\n:]*\b{_KIND}\b[^\n:]*(?::|\n|$)|\s*(?::|\n))",
    re.IGNORECASE,
)
_LABEL = re.compile(
    rf"(?:#+\s*)?\**(?:(?:a|the|my|new) )*{_KIND}(?: \d+)?(?:\**\s*:\s*\**|\**\s*\n)",
    re.IGNORECASE,
)
_REFUSAL = re.compile(r"(?:i(?:'m|\u2019m| am) sorry|sorry,|i (?:cannot|can't|can\u2019t)|as an ai)\b", re.IGNORECASE)


def proposal(text: str) -> str | None:
    """The problem without the words around its beginning: a courtesy, an announcement, a title such as `Problem:`.

    None if nothing else is there, as in `Sure, here is`, or if the model declines.
    """
    problem = text.strip()
    while found := _COURTESY.match(problem) or _NOTICE.match(problem) or _LABEL.match(problem):
        problem = problem[found.end() :].strip()
    if _REFUSAL.match(problem) or not any(letter.isalnum() for letter in problem):
        return None
    return problem
