"""Where a text states its answer in words: `the answer is 7`, `Answer: 7`, `7 is the answer`, `no, it's 7`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selfimprove.problems import sentences
from selfimprove.problems.boxes import NEAR, WIDEST, Statement, line_from

WORDS = 20_000
"""Characters at the end of a text in which statements in words are looked for; others may stand anywhere."""

_NOUN = re.compile(
    r"(?<![^\W_])answers?\b|\b(?:correct|right|best|final|chosen|selected) (?:option|choice|letter|result|value"
    r"|solution)s?\b"
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
    r"|obvious\b|straightforward\b|simple\b|clear\b|already\b|based on\b|always\b|to be [a-z]+(?:ed|en|nd)\b"
    r"|needed\b|required\b|asked\b"
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
_TITLE = re.compile(r"(?:Not|Never|Neither) [A-Z]\w* [A-Z]")
_CHANGED = re.compile(
    r"\b(?:chang|revis|correct|updat|switch)(?:e|es|ed|ing)? (?:my|the) (?:final )?(?:answer|choice)"
    r"(?: from [^.,;\n]{1,30}?)? to\b:?"
    r"|\b(?:actually|wait|no|oops|sorry|hmm)\b[^.\n\w]{0,4}(?:\b(?:no|wait|actually)\b\W{0,3})?"
    r"(?:it(?:'s|’s| is| must be| should be)|that should be|make that|I mean)\s",
    re.IGNORECASE,
)
"""How a text takes back what it stated: `actually no, it's C`."""
_INSTEAD = re.compile(r"[^,.;:\n]{1,60}?,?\sbut\s(?:rather\s|instead\s)?", re.IGNORECASE)
"""What is denied in favour of something else: `not 7 but`."""
_BARE = re.compile(r"[#*_\s>]*(?:(?:the|my|our)\s)?(?:final\s|correct\s)?$", re.IGNORECASE)


def phrases(text: str, cut: bool) -> Iterator[Statement]:
    """Statements in words."""
    since = max(0, len(text) - WORDS)
    for noun in [*_NOUN.finditer(text, since)][-NEAR:]:
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
        if (denied := _NEGATED.match(value)) and not _TITLE.match(value):
            value = _INSTEAD.sub("", value[denied.end() :], count=1) if _INSTEAD.match(value[denied.end() :]) else ""
        else:
            denied = None
        if denied and not value:
            yield Statement(noun.start(), end, "", formal=False)
        elif value and not sentences.asks(value) and not _described(value, before):
            yield Statement(noun.start(), end, value, formal=False)
    for change in [*_CHANGED.finditer(text, since)][-NEAR // 8 :]:
        value, end = _value(text, change.end(), cut)
        if value and not sentences.asks(value) and not _NEGATED.match(value):
            yield Statement(change.start(), end, value, formal=False)


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
    line, closed = line_from(body, 0)
    if tag := _CLOSING.search(line):
        line, closed = line[: tag.start()], True
    end = sentences.end_of(line)
    if cut and not closed and end == len(line) and start + place + end == len(text):
        return "", start + place + end
    return line[:end].strip(), start + place + end


_CLOSING = re.compile(
    r"</?(?:final[_ -]?)?(?:answer|solution|response|output)\s*>|\[/?(?:FINAL_)?ANSWER\]", re.IGNORECASE
)


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


def named(text: str) -> Iterator[Statement]:
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
