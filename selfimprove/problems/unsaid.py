"""Thoughts in a completion, as published models write them: they are not part of the answer. Not a method."""

from __future__ import annotations

import re

_THOUGHT = (
    r"<(think|thinking|thought|thoughts|reasoning|scratchpad|seed:think)>|\[(THINK)\]|◁(think)▷"
    r"|<\|begin_of_(thought)\|>|<\|START_(THINKING)\|>|<\|channel\|>(?:analysis|commentary)\b[^\n<]*<\|(message)\|>"
)
_THOUGHT_END = (
    r"</(?:think|thinking|thought|thoughts|reasoning|scratchpad|seed:think)>|\[/THINK\]|◁/think▷"
    r"|<\|end_of_thought\|>|<\|END_THINKING\|>|<\|channel\|>final\b[^\n<]*<\|message\|>"
)
_QUOTED = r"(?<![\"'])(?<!(?<!`)`)", r"(?![\"']|`(?!`))"
"""Before and after a mark: in quotes it is a word, not a mark; next to a fence it is one."""
_MARK = re.compile(rf"{_QUOTED[0]}(?:(?P<begin>{_THOUGHT})|(?P<end>{_THOUGHT_END})){_QUOTED[1]}", re.IGNORECASE)
_SPECIAL = re.compile(r"(?:<\|[a-z_]+\|>|</s>)\s*\Z")


def without_thoughts(text: str) -> str:
    """The text without thoughts and without an end mark.

    A thought that begins unseen, as after a template that opens it, ends at its mark. One that never ends is all that
    follows. A mark in quotes is a word.
    """
    kept, inside, at = list[str](), False, 0
    for mark in _MARK.finditer(text):
        if mark["end"]:
            kept = kept if inside else []
            inside, at = False, mark.end()
        elif not inside:
            kept.append(text[at : mark.start()])
            inside = True
    return _SPECIAL.sub("", "".join(kept) + ("" if inside else text[at:]))
