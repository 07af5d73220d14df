"""Where sentences and clauses end, which of them deny, ask or only suppose. Pure functions on plain text and LaTeX."""

from __future__ import annotations

import re

ABBREVIATIONS = frozenset(
    [
        "dr",
        "mr",
        "mrs",
        "ms",
        "prof",
        "st",
        "mt",
        "ft",
        "jr",
        "sr",
        "vs",
        "inc",
        "ltd",
        "co",
        "corp",
        "gen",
        "gov",
        "sen",
        "rep",
        "rev",
        "hon",
        "fig",
        "eq",
        "eqs",
        "approx",
        "cf",
        "ca",
        "al",
        "dept",
        "est",
        "vol",
        "ed",
        "eds",
        "pp",
        "sec",
        "min",
        "max",
        "sq",
        "cu",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
    ]
)
"""Words whose full stop does not end a sentence, where a word follows."""
STARTERS = frozenset(
    [
        "a",
        "an",
        "the",
        "this",
        "that",
        "these",
        "those",
        "it",
        "its",
        "he",
        "she",
        "they",
        "we",
        "i",
        "you",
        "in",
        "on",
        "at",
        "so",
        "thus",
        "hence",
        "therefore",
        "then",
        "note",
        "because",
        "since",
        "if",
        "let",
        "my",
        "our",
        "your",
        "their",
        "there",
        "here",
        "for",
        "to",
        "and",
        "but",
        "or",
        "as",
        "by",
        "with",
        "from",
        "when",
        "what",
        "which",
        "who",
        "why",
        "how",
        "all",
        "both",
        "each",
        "no",
        "not",
        "yes",
        "also",
        "now",
        "next",
        "first",
        "finally",
        "however",
        "while",
        "only",
        "option",
        "options",
        "choice",
        "explanation",
        "check",
        "reason",
    ]
)
"""Words that often begin a sentence, so that a capital letter before them is no initial."""
_STOP = re.compile(r"[.!?](?=[\s*_\"'”’»)\]}$]|$)|[。！？]|\\n")
_CLOSING = re.compile(r"[*_\"'”’»)\]}`]+(?=\s|$)")
_MATH = re.compile(r"\$[^$\n]{1,400}\$|\\\([^\n]{0,400}?\\\)")
_INITIALS = re.compile(r"(?:^|[\s.(])(?:[A-Za-z]\.)*[A-Za-z]$")
_DENIES = re.compile(
    r"\b(?:not|never|neither|nor|cannot|isn'?t|aren'?t|wasn'?t|weren'?t|can'?t|couldn'?t|won'?t|wouldn'?t|doesn'?t"
    r"|don'?t|didn'?t|shouldn'?t|wrong|incorrect|false|ruled out|rule out|eliminated?|impossible|unlikely)\b"
    r"|anything but|\\ne(?:q)?\b|≠",
    re.IGNORECASE,
)
_SUPPOSES = re.compile(
    r"\b(?:if|whether|suppose|supposing|assume|assuming|say|unless|guess(?:ed)? that|what|pretend|hope)\b[^,.;:?!]*$",
    re.IGNORECASE,
)
UNKNOWN = re.compile(
    r"\b(?:unknown|unclear|uncertain|undetermined|indeterminate|unsure|not sure|not certain|not known|no idea|cannot be"
    r"|can'?t be|can ?not|can'?t|(?:don'?t|do not|does not|doesn'?t) know|none of|neither|impossible to"
    r"|not enough information|insufficient)\b",
    re.IGNORECASE,
)
"""Words by which a text says that it has no answer."""
_BREAK = re.compile(
    r"[;:]\s|\s(?:but rather|but|rather)\s|,\s+(?=(?:so|but|thus|hence|therefore|then|and so|which|it|we)\b)",
    re.IGNORECASE,
)


def end_of(text: str) -> int:
    """Where the first sentence of a text ends, after its stop; formulas, numbers and abbreviations have none."""
    formulas = [found.span() for found in _MATH.finditer(text) if not re.search(r"\.\s+[A-Z]", found[0])]
    for stop in _STOP.finditer(text):
        place = stop.start()
        if any(start < place < end - 1 for start, end in formulas):
            continue
        if text[place] == "." and _abbreviates(text[:place], text[place + 1 :]):
            continue
        closing = _CLOSING.match(text, stop.end())
        return closing.end() if closing else stop.end()
    return len(text)


def _abbreviates(before: str, after: str) -> bool:
    """Whether a full stop belongs to an abbreviation or an initial: something must follow it in the sentence."""
    following = re.match(r"\s+[\"'“(*]*(\w+)", after)
    if following is None:
        return False
    word = re.search(r"[\w.]*$", before[-40:])
    last = (word[0] if word else "").lower()
    if last in ABBREVIATIONS or (last == "no" and following[1].isdigit()):
        return True
    if following[1][0].islower() and ("." in last or len(last) == 1) and last.replace(".", "").isalpha():
        return True  # `5 p.m. on Monday`, `e.g. this`
    if len(last.rsplit(".", 1)[-1]) != 1 or not last[-1].isalpha() or following[1].lower() in STARTERS:
        return False
    words = before.split()
    initial = "." in last or len(words) == 1 or words[-2][:1].isupper()  # J. K. Rowling, U.S. Grant, George W. Bush
    return initial and words[-1][0].isupper() and following[1][0].isupper()


def sentences(text: str, longest: int = 2000) -> list[str]:
    """The sentences of the end of a text, without blank ones; a line break ends a sentence."""
    found: list[str] = []
    for line in text[-longest:].splitlines():
        rest = line
        while rest.strip():
            end = end_of(rest)
            found.append(rest[:end].strip())
            rest = rest[end:]
    return [one for one in found if one.strip(" *_#`-")]


def clauses(sentence: str) -> list[str]:
    """The clauses of a sentence, as far as punctuation and conjunctions show them."""
    sentence = _OCCURS.sub("", _CONTRAST.sub("", _INSTEAD.sub("", sentence)))
    parts = [part for part in _BREAK.split(sentence) if part.strip()]
    if parts and (reason := _REASON.match(parts[0])):
        parts[:1] = [reason[0], parts[0][reason.end() :]]
    return [part for part in parts if part.strip()]


_REASON = re.compile(
    r"\W*(?:since|because|as|given|now that|from|by|using|with|after|for|if|when|upon|in)\b[^,\n]{1,200},\s(?=\S)",
    re.IGNORECASE,
)
"""The subordinate clause that a sentence begins with."""
_OCCURS = re.compile(
    r"\s(?:and )?(?:it|this|that|which) (?:occurs|happens|is (?:attained|reached|achieved|obtained))\b.*",
    re.IGNORECASE | re.DOTALL,
)
"""Where a clause tells where its value is found."""
_CONTRAST = re.compile(
    r",?\s(?:and |but )?(?:(?<!is )(?<!are )not|rather than|instead of)\s[^,.;:]{1,40}(?=[.!]?[\s*_]*$)", re.IGNORECASE
)
"""What a sentence adds to deny it: `, not 15`."""
_INSTEAD = re.compile(r"\bnot\s(?!only\b|just\b)[^,.;:]{1,40}?,?\s(?=but\s)", re.IGNORECASE)
_UNFINISHED = re.compile(
    r"(?:\b(?:the|an?|and|or|to|of|in|for|from|with|by|at|then|that|than|is|are|was|equals?|gives?|so|because"
    r"|since|if|when|which|into|plus|minus|times|out of|add|subtract|multiply|divide|will|can|her|his|their|our"
    r"|each|per|next|step \d+:?)|\s[=+/×÷(]|\\(?:times|cdot|frac|div))[\s$]*$",
    re.IGNORECASE,
)
_LOST = re.compile(
    r"\b(?:not enough information|insufficient (?:information|data)|cannot be (?:determined|solved|answered|found"
    r"|known)|need(?:s|ed)? to know|need more information|impossible to (?:tell|say|know|determine|answer))\b",
    re.IGNORECASE,
)


def unfinished(text: str) -> bool:
    """Whether a text ends in the middle of a sentence, as far as its last word shows this."""
    end = text[-80:]
    return len(end.split()) > 3 and _UNFINISHED.search(end) is not None


def gives_up(sentence: str) -> bool:
    """Whether a sentence says that there is no answer."""
    return _LOST.search(sentence) is not None


def denies(clause: str) -> bool:
    """Whether a clause denies something."""
    return _DENIES.search(clause) is not None


def supposes(before: str) -> bool:
    """Whether the words before a statement make it a supposition or a question."""
    return _SUPPOSES.search(before[-120:]) is not None


_REMARK = re.compile(
    r"^(?:I|We) (?:have )?(?:double-?|also )?(?:checked|verified|hope|used|did|tried)\b|\blet me know\b"
    r"|\bhope\b|\bfeel free\b|^(?:note|remember|tip)\b"
    r"|\btell me\b|^(?:you can |let(?:'s| us| me) )?(?:double-?\s?)?(?:check|verify|confirm)\b"
    r"|^I(?:'d| am| can| could| would| will)? (?:be |also |gladly )?"
    r"(?:happy|glad|help|solve|explain|show|provide|assist|walk)\b|^checking\b|^verification\b"
    r"|^(?:now |next,? |first,? |then,? )?(?:I|we|you)(?:'d| would)? (?:need|have|want) to (?:find|know|figure"
    r"|calculate|compute|determine|add|subtract|multiply|divide)\b(?!.*(?:=|which |to get|giving))",
    re.IGNORECASE,
)
"""Sentences about the work or to the reader."""


def remarks(sentence: str) -> bool:
    """Whether a sentence is about the work, or to the reader, and asserts nothing."""
    return _REMARK.search(sentence.strip(" *_#(✓✔✅-")) is not None


def asks(sentence: str) -> bool:
    """Whether a sentence is a question."""
    return sentence.rstrip(" *_\"'”’)").endswith(("?", "？"))
