"""Where a completion states its answer: in a box, after ####, in an answer tag, or in words such as `the answer is`.

The last statement counts, whatever its kind. A question, a supposition and a description of the answer are none. One
that denies (`the answer is not 7`) states nothing; if all do, nothing before the last of them is an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from selfimprove.problems import sentences

NEAR = 40
"""Statements of each kind that are looked at, from the end of a text."""
WIDEST = 2000
"""Most characters of what follows a statement in words or after ####."""


WORDS = 20_000
"""Characters at the end of a text in which statements in words are looked for; others may stand anywhere."""


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


def statements(text: str, cut: bool = False) -> list[Statement]:
    """The last statements of a text in order.

    Args:
        cut: the text was cut off; a statement that its end belongs to was not finished and is left out.
    """
    boxes = [*_boxes(text)]
    words = [one for one in (*_phrases(text, cut), *_named(text)) if not any(b.at < one.at < b.end for b in boxes)]
    found = [*boxes, *_hashes(text, cut), *_tags(text, cut), *words]
    return sorted(found, key=lambda one: (one.at, one.end))


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


def _boxes(text: str) -> Iterator[Statement]:
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
        if (again := _SAME.search(between)) and re.search(rf"(?<![A-Za-z]){again[1]}\s?=\s?$", text[: last.at][-9:]):  # type: ignore[union-attr]
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


def _hashes(text: str, cut: bool) -> Iterator[Statement]:
    """What follows #### on its line; a heading of a section is no answer."""
    for mark in [*_HASHES.finditer(text)][-NEAR:] if "####" in text else ():
        line, closed = _line(text, mark.end())
        if line.strip() and (closed or not cut) and not _HEADING.match(line):
            yield Statement(mark.start(), mark.end() + len(line), line.strip(), formal=True)


def _tags(text: str, cut: bool) -> Iterator[Statement]:
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


# ---- words -------------------------------------------------------------------------------------------------------
_NOUN = re.compile(
    r"\banswers?\b|\b(?:correct|right|best|final|chosen|selected) (?:option|choice|letter|result|value|solution)s?\b"
    r"|\bcorrection\b"
    r"|\b(?:lösung|antwort(?:en)?|réponse|reponse|respuesta|resposta|risposta|antwoord|svaret?|ответ|відповідь|cevap|odpowied[źz]"
    r"|odpověď|válasz|vastaus|răspunsul?|jawaban(?:nya)?|jibu|đáp án|câu trả lời|उत्तर|উত্তর|الإجابة|الجواب"
    r"|إجابة|תשובה)\b"
    r"|答案|答え|解答|正解|정답|답",
    re.IGNORECASE,
)
_LINK = re.compile(
    r"(?:\s(?:choice|option|letter|key|value)\b)?+"
    r"(?:\s(?:to|for|of|in)\s[^.,:;=\n?]{1,80}?|\s(?:we|you|I)\s(?:get|want|need|seek|look for)\b|\sin\s\w+)?"
    r"(?:\s?\([^()\n]{0,60}\))?(?:\s?,[^,.:;\n]{1,80},)?[*_\"'”`\s]{0,6}"
    r"(?P<link>(?:is|are|was|were|will be|would be|must be|should be|has to be|have to be|can only be|becomes?|equals?"
    r"|turns? out to be|comes? (?:out )?to|works? out to|ist|lautet|sind|est|es|son|é|è|sono|är|er|jest|это|เป็น)\b"
    r"|[:：=≈]|→|⇒|->|=>|[—–-](?=\s)|是|为|為|は|が|은|는|\Z|\n)",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"(?:(?:\*\*|__|[*_>])(?=\s)|[\s:：=]|(?:that|therefore|then|thus|hence|simply|just|exactly|indeed|clearly"
    r"|definitely|certainly|probably|most likely"
    r"|likely|now|also|still|equal to|given by|as follows|found to be|approximately|about|roughly|around|only"
    r"|actually|igual a"
    r"|approx\.?|at)\b,?(?=\s|:))*"
)
_PURPOSE = re.compile(
    r"\bto (?:find|get|compute|calculate|determine|check|verify|obtain|reach|derive|see)\s(?:out\s)?"
    r"(?:(?:the|our|an|my|your|its|this|that)\s)?(?:\w+\s)?$",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"(?:inside|within|in (?:the|a) (?:box|form)|in \\?box|boxed\b|shown\b|given (?:above|below|in)|written\b|stated\b"
    r"|above\b|below\b|found (?:by|above|in)|obtained (?:by|from|in)|supposed|expected|going to|as (?:above"
    r"|required|in)|easy\b"
    r"|obvious\b|straightforward\b|simple\b|clear\b|already\b|based on\b|always\b|to be\b|needed\b|required\b|asked\b"
    r"|an? (?:[a-z]+ ){0,2}(?:integer|number|value|fraction|decimal|percentage|multiple|word|letter|sum|product)\b"
    r"(?!\s(?:of\s)?[-$\d\\]))",
    re.IGNORECASE,
)
"""What a sentence says about an answer instead of stating it."""
_JUDGED = re.compile(
    r"(?:absolutely |also |indeed |in fact )?(?:correct|right|wrong|incorrect|reasonable|consistent|valid"
    r"|verified|confirmed|plausible"
    r"|accurate|complete|helpful|useful|satisfactory|too)\b",
    re.IGNORECASE,
)
_OWNER = re.compile(
    r"\b(?:this|that|my|your|our|his|her|their|previous|above|given|first|earlier)\s(?:\w+\s)?$", re.IGNORECASE
)
_NEGATED = re.compile(
    r"(?:definitely |certainly |clearly |probably |obviously |therefore )?"
    r"(?:not\b|n'?t\b|never\b|neither\b|anything but\b|no longer\b|nicht\b|kein|pas\b|不是|не\b)",
    re.IGNORECASE,
)
_INSTEAD = re.compile(r"[^,.;:\n]{1,60}?,?\sbut\s(?:rather\s|instead\s)?", re.IGNORECASE)
"""What is denied in favour of something else: `not 7 but`."""
_BARE = re.compile(r"[#*_\s>]*(?:(?:the|my|our)\s)?(?:final\s|correct\s)?$", re.IGNORECASE)


def _phrases(text: str, cut: bool) -> Iterator[Statement]:
    """Statements in words."""
    for noun in [*_NOUN.finditer(text, max(0, len(text) - WORDS))][-NEAR:]:
        window = text[noun.end() : noun.end() + 240]
        link = _LINK.match(window)
        if link is None:
            continue
        begins = text.rfind("\n", 0, noun.start()) + 1
        before = text[max(begins, noun.start() - 160) : noun.start()]
        start = noun.end() + link.end()
        if link["link"] in ("", "\n") and not _BARE.fullmatch(before):
            continue
        if link["link"] in tuple("—–-") and not _BARE.fullmatch(before):
            continue
        if sentences.supposes(before) or _PURPOSE.search(before):
            continue
        value, end = _value(text, start, cut)
        if denied := _NEGATED.match(value):
            value = _INSTEAD.sub("", value[denied.end() :], count=1) if _INSTEAD.match(value[denied.end() :]) else ""
        if denied and not value:
            yield Statement(noun.start(), end, "", formal=False)
        elif value and not sentences.asks(value) and not _described(value, before):
            yield Statement(noun.start(), end, value, formal=False)


def _described(value: str, before: str) -> bool:
    """Whether the value is a remark on an answer."""
    judged = _JUDGED.match(value)
    about = _ABOUT.match(value)
    if (
        about
        and re.search(r"\d|[$\\]|[:：]\s*\S", value)
        and not re.match(r"(?i)(?:inside|within|based|already|in |an? |(?:found|obtained) by \w+ing\b)", value)
    ):
        return False  # `as shown above: 5`, which still states something
    return about is not None or (judged is not None and (_OWNER.search(before) is not None or len(value.split()) > 3))


def _value(text: str, start: int, cut: bool) -> tuple[str, int]:
    """What is stated from `start`, and where it ends; "" if that was cut off."""
    window = text[start : start + WIDEST]
    lead = _LEAD.match(window)
    assert lead
    place = lead.end()
    body = window[place:]
    for opens, closes in (("$$", "$$"), ("\\[", "\\]"), ("\\begin{", "\\end{"), ("```", "```")):
        if body.startswith(opens):
            end = body.find(closes, len(opens))
            if end >= 0:
                stop = body.find("\n", end)
                return body[: stop if stop >= 0 else len(body)].strip(), start + place + end
    line, closed = _line(body, 0)
    if tag := _CLOSING.search(line):
        line, closed = line[: tag.start()], True
    end = sentences.end_of(line)
    if cut and not closed and end == len(line) and start + place + end == len(text):
        return "", start + place + end
    return line[:end].strip(), start + place + end


_CLOSING = re.compile(
    r"</?(?:final[_ -]?)?(?:answer|solution|response|output)\s*>|\[/?(?:FINAL_)?ANSWER\]", re.IGNORECASE
)


def _line(text: str, start: int) -> tuple[str, bool]:
    """The rest of a line, and whether it ends with a line break."""
    end = text.find("\n", start, start + WIDEST)
    return (text[start:end], True) if end >= 0 else (text[start : start + WIDEST], False)


_NAMED = re.compile(
    r"(?:is|are|would be|must be|should be) (?P<not>not )?(?:therefore |thus |clearly )?(?:the|my"
    r"|our) (?:(?:final|correct|right|best|only) )*"
    r"(?:answers?|options?|choices?)\b(?! to be\b)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"(?:.*(?:[:;!?\n]|\.\s|,\s(?:so\s)?|\b(?:so|thus|hence|therefore|that|then|and|but|because)\s))?(.*)",
    re.DOTALL | re.IGNORECASE,
)


def _named(text: str) -> Iterator[Statement]:
    """Statements that end with `is the answer`."""
    for found in [*_NAMED.finditer(text, max(0, len(text) - WORDS))][-NEAR:]:
        before = text[max(0, found.start() - 120) : found.start()]
        clause = _CLAUSE.fullmatch(before)
        value = clause[1].strip() if clause else ""
        after = text[found.end() : found.end() + 3].lstrip(" *_")
        if not value or after.startswith(("?", ":")) or sentences.supposes(value):
            continue
        if re.fullmatch(r"(?i)(?:it|this|that|what|which|here|one|below|the following|these)", value):
            continue
        yield Statement(found.start() - len(value), found.end(), "" if found["not"] else value, formal=False)
