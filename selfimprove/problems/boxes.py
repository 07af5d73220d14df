"""Where a text marks its answer: in a box, after ####, in an answer tag. Several boxes that belong together are one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

NEAR = 40
"""Statements of each kind that are looked at, from the end of a text."""
WIDEST = 2000
"""Most characters of what follows a statement in words or after ####."""


@dataclass(frozen=True)
class Statement:
    """One place where a text states its answer."""

    at: int
    """Where it begins."""
    end: int
    value: str
    """What is stated; "" if the statement denies."""
    formal: bool
    """A box, ####, or a tag: what stands there is meant as the answer, even if it cannot be read as one."""


# ---- boxes -------------------------------------------------------------------------------------------------------
_BOX = re.compile(
    r"\\(?:boxed|fbox|framebox|bbox)\s*+(?:\[[^\]]{0,40}\])?+(?:(?P<open>\{)|(?P<bare>-?\d[\d.,/]*+|\\frac\d\d|[A-Z]\b))"
)
_BRACE = re.compile(r"\\[{}\\]|[{}]")
_JOIN = re.compile(
    r"(?:[\s$,;&*]|\\[()\[\] ,;!]|\\q?quad\b|\b(?:and|or|und|oder|et|ou|y)\b|\\(?:text|mathrm)\s?\{\s*(?:and|or"
    r"|,)\s*\}|、|和|或)+"
)
_SAME = re.compile(r"(?<![A-Za-z])([A-Za-z])\s?=\s?$")
"""The name of a value before its box: x = of `$x=\\boxed{3}$ or $x=\\boxed{8}$`."""
_OR = re.compile(r"\b(?:or|oder|ou)\b|或")
_NOT_BOXED = re.compile(r"\b(?:not|isn'?t|≠)\s*[$\\(\s]*$", re.IGNORECASE)
_BLANK = re.compile(
    r"(?:[\s.…?_$*{}\\]|\\(?:ldots|dots|cdots|text|quad|,|;|!)|(?:your |the |final "
    r"|numerical )*(?:final )?answer(?: here)?)*",
    re.IGNORECASE,
)


def boxes(text: str) -> Iterator[Statement]:
    """The boxes; those that only `and`, `or` or a comma separates are one statement."""
    if "boxed" not in text and "box" not in text:
        return
    starts = {found.end() - 1: found for found in _BOX.finditer(text) if found["open"]}
    found = [(one.start(), one.end(), one["bare"]) for one in _BOX.finditer(text) if one["bare"]]
    opened: list[int] = []
    for brace in _BRACE.finditer(text) if starts else ():
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened and (start := opened.pop()) in starts:
            found.append((starts[start].start(), brace.end(), text[start + 1 : brace.start()]))
    boxes = sorted(one for one in found if "\\{" in one[2] or not _BLANK.fullmatch(one[2][:200]))[-NEAR:]
    joined: list[Statement] = []
    for start, end, value in boxes:
        before = text[max(0, start - 60) : start]
        if _NOT_BOXED.search(before):
            joined.append(Statement(start, end, "", formal=True))
            continue
        last = joined[-1] if joined else None
        between = text[last.end : start] if last and last.end <= start <= last.end + 60 else ""
        again = _SAME.search(between)
        if last and again and re.search(rf"(?<![A-Za-z]){again[1]}\s?=\s?$", text[: last.at][-9:]):
            between = between[: again.start()]
        if last and last.value and _JOIN.fullmatch(between) and re.search(r"[,;&、和或]|and|or|und|et|ou", between):
            word = " or " if _OR.search(between) else ", "
            value = last.value if value.strip() == last.value.strip() else f"{last.value}{word}{value}"
            joined[-1] = Statement(last.at, end, value, formal=True)
        else:
            joined.append(Statement(start, end, value.strip(), formal=True))
    yield from joined


# ---- #### and tags -----------------------------------------------------------------------------------------------
_HASHES = re.compile(r"(?<!#)####(?!#)\s*+")
_HEADING = re.compile(
    r"[*_\s\d.:)]*(?:step|solution|conclusion|part|case|explanation|verification|check|note|reasoning|summary|problem"
    r"|question|given|approach|analysis|calculation|final (?:answer|step|result)|the answer"
    r"|answer)\b(?!\s*[:=]\s*\S|\s+is\b)",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(/?)(?:final[_ -]?)?answer\s*>|\[(/?)(?:FINAL_)?ANSWER\]", re.IGNORECASE)


def hashes(text: str, cut: bool) -> Iterator[Statement]:
    """What follows #### on its line; a heading of a section is no answer."""
    for mark in [*_HASHES.finditer(text)][-NEAR:] if "####" in text else ():
        line, closed = line_from(text, mark.end())
        if line.strip() and (closed or not cut) and not _HEADING.match(line):
            yield Statement(mark.start(), mark.end() + len(line), line.strip(), formal=True)


def tags(text: str, cut: bool) -> Iterator[Statement]:
    """What stands between `<answer>` and `</answer>`; the text may end without the closing tag."""
    marks = [*_TAG.finditer(text)][-2 * NEAR :] if "<" in text or "[" in text else []
    for place, mark in enumerate(marks):
        if mark[1] or mark[2]:
            continue
        after = marks[place + 1] if place + 1 < len(marks) else None
        if after is None and cut:
            continue
        end = after.start() if after else min(len(text), mark.end() + WIDEST)
        value = text[mark.end() : end].strip()
        if value and not (after and not (after[1] or after[2])):
            yield Statement(mark.start(), end, value, formal=True)


def line_from(text: str, start: int) -> tuple[str, bool]:
    """The rest of a line, and whether it ends with a line break."""
    end = text.find("\n", start, start + WIDEST)
    return (text[start:end], True) if end >= 0 else (text[start : start + WIDEST], False)
