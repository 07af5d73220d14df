"""The number that a statement or a sentence gives: the value that is asked for, which need not be the last number."""

from __future__ import annotations

import re

from selfimprove.problems import numbers, sentences
from selfimprove.problems.arithmetic import arithmetic

WORDS = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
} | {
    word: 10 * (n + 2)
    for n, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"])
}
_LIST = re.compile(
    r"(?:\s*[A-Za-z°%]+\.?){0,2}\s*(?:,|,?\s*(?:and|or|&|to)\b|-|–|±|:)\s*(?:and |or |also |maybe "
    r"|possibly )?(?!\s*[$€£]?[\d.,]+%? (?:more|less|fewer|times|higher|lower)\b)[-+]?[$€£]?\s?\.?\d",
    re.ASCII,
)
"""What follows a number that is one of several: `5 or 7`, `3, 4`, `2 to 5`, `3:4`."""
_REMARK = re.compile(r"\((?!\s*or\b)[^()]*\)|\[[^\[\]]*\]")
_CENTS = re.compile(r"\$?(\d[\d,]*) dollars? and (\d{1,2}) cents?\b")
_STOPS = re.compile(
    r";|,\s(?=[A-Za-z])|\b(?:which|because|since|so that|where|after|as|whereas|rather than|instead of|not)\b"
)
_CONNECTED = re.compile(r"[-+*/^() \d.,$]+")
_VERBS = re.compile(
    r"\b(?:is|are|was|were|be|been|equals?|gives?|gave|gets?|got|makes?|made|costs?|has|have|had|needs?|needed|sold|earns?|earned"
    r"|spends?|spent|pays?|paid|buys?|bought|saves?|saved|takes?|took|remain(?:s|ed|ing)?|becomes?|became|obtains?"
    r"|finds?|found|reach(?:es)?|produces?|eats?|ate|runs?|ran|walks?|reads?|wins?|won|loses?|lost|receives?|received|owes?|will"
    r"|weighs?|contains?|uses?|used|drives?|drove|charges?|charged|leaves|yields?|comes? to|of about|just|only"
    r"|exactly)\b|\b(?:left|total(?:s|ed)?)(?=:?\s[$€£]?\d)"
    r"|\btotal(?:s|ed)? (?:of|to)\b|(?<=,\s)(?:giving|making|leaving|yielding|bringing|totall?ing)\b",
    re.IGNORECASE,
)
_NOTHING = re.compile(r"\W*(?:undefined|n/?a|none|nothing|null|nan)\b", re.IGNORECASE)
_BETWEEN = re.compile(r"\bbetween (?:[$€£]?[\d.,]+ and )?[$€£]?$")
_SUBORDINATE = re.compile(
    r"\s(?:when|because|since|if|whereas|while|after)\s(?!.*,\s(?:giving|making|leaving|yielding|for))"
)
_RESTATED = re.compile(r"(?:%|/\d+) of [^.;]{1,40}?,\s(?:or|which is|i\.e\.,?|that is,?|namely)\s(?=[$€£]?\d)")
"""A part of something whose size is said after it: `45% of the 80 guests, or 36 people`."""
_ADJUNCT = re.compile(
    r"\b(?:in|for|of|per|after|before|among|out of|than|over|within|during|with|by|to [a-z]+)\s"
    r"(?:(?:the|a|all|about|another|her|his|their|its|those|these|each|every|first|last|next|other|remaining"
    r"|[a-z]+ing)\s){0,3}[$€£]?$",
    re.IGNORECASE,
)
"""What stands before a number that only says when, for what or out of how many."""
_SUM_OF = re.compile(
    r"\b(?:total|sum|profit|average|amount|value|cost|price|difference|product|balance|mean) of\s[$€£]?$"
)
_BOLD = re.compile(r"(?:\*\*|__)(?=[^\s*_])([^*\n]{1,120}?)(?<=[^\s:*_])(?:\*\*|__)")
_LABEL = re.compile(r"\s*(?:step|part|case|day|week|option|question|problem|example)\b", re.IGNORECASE)
_BELOW_ZERO = re.compile(
    r"(?:^|(?<=\b(?:is|be|to|of|at) )|(?<=\bwas )|(?<=\bequals )|(?<== ))(?:minus|negative)\s+(?=[$€£]?\d)",
    re.IGNORECASE,
)


def of_value(said: str) -> str | None:
    """The number that is stated, in words or digits; None if there is none, or several."""
    text = _CENTS.sub(lambda found: f"${found[1]}.{int(found[2]):02}", numbers.cleaned(said))
    text = _BELOW_ZERO.sub("-", text.lstrip())
    if sentences.UNKNOWN.match(text) or _NOTHING.match(text):
        return None
    bare = _REMARK.sub(" ", text)
    text = bare if numbers.TOKEN.search(bare) else text
    sides = re.split(r"=|≈", text)
    if len(sides) > 1:
        about = text.find("≈")
        sides = re.split(
            "=", text[:about] if about >= 0 and numbers.TOKEN.search(text[:about]) else text.replace("≈", "=")
        )
        text = next((side for side in reversed(sides) if numbers.TOKEN.search(side)), "")
    if (sum_ := _worked(text)) is not None:
        return sum_
    first = numbers.TOKEN.search(text)
    if first is None:
        return _in_words(text)
    stop = _STOPS.search(text, first.end())
    text = text[: stop.start() if stop else len(text)]
    if _LIST.match(text, first.end()) or re.search(r"\bbetween\s*$", text[: first.start()]):
        return None
    value = numbers.exact(first, percent=False)
    return None if value is None else numbers.written(value)


def _worked(text: str) -> str | None:
    """The value of a bare sum such as 3 * 4; None for other texts."""
    text = text.strip().strip("$").strip()
    if not _CONNECTED.fullmatch(text) or len(text) > 100 or not re.search(r"[\d)] ?[-+*/] ?[$(\d]", text):
        return None
    value = arithmetic(text.replace("$", "").replace(",", ""))
    return None if value is None else numbers.written(value)


def _in_words(text: str) -> str | None:
    """A number numbers.written as one or two words: twelve, twenty-five."""
    found = re.findall(r"[a-z]+(?:-[a-z]+)?", text.lower())
    values = [
        sum(WORDS[part] for part in word.split("-")) for word in found if all(p in WORDS for p in word.split("-"))
    ]
    return str(values[0]) if len(values) == 1 and len(found) <= 6 else None


def of_sentence(sentence: str) -> str | None:
    """The number that a sentence asserts: what it emphasises, or what follows its last equals sign or a verb.

    A number that only says when, for what or out of how many (`in 3 days`, `for 5 kg`) comes after all others.
    """
    bold = [one for one in _BOLD.findall(sentence) if re.search(r"\d", one) and not _LABEL.match(one)]
    if len(bold) == 1 and len(bold[0]) + 8 < len(sentence) and (value := of_sentence(bold[0])) is not None:
        return value
    text = _BELOW_ZERO.sub("-", numbers.cleaned(sentence))
    bare = _REMARK.sub(" ", text)
    text = bare if numbers.TOKEN.search(bare) else text
    about = text.find("≈")
    text = text[:about] if about >= 0 and "=" in text[:about] else text.replace("≈", "=")
    if "=" in text and (after := text.rpartition("=")[2]) and numbers.TOKEN.search(after):
        return of_value(after)
    if (sum_ := _worked(text)) is not None:
        return sum_
    found = [*numbers.TOKEN.finditer(text)]
    if not found:
        return None
    if restated := _RESTATED.search(text):
        text = text[restated.end() :]
    elif tail := _SUBORDINATE.search(text, found[0].end()):
        text = text[: tail.start()]
    found = [*numbers.TOKEN.finditer(text)]
    whole = [one for one in found if _IN_ALL.match(text, one.end())]
    if whole:
        return _shown(whole[-1])
    chosen = _chosen(text, found)
    if not _VERBS.search(text[: chosen.start()]) and any(_several(text, one) for one in found):
        return None
    return None if _several(text, chosen) or _BETWEEN.search(text[: chosen.start("whole")]) else _shown(chosen)


def _chosen(text: str, found: list[re.Match[str]]) -> re.Match[str]:
    """The number that a sentence is about: the first after its last verb, adjuncts after all others."""
    main = [one for one in found if not _adjunct(text, one)]
    for numbers_ in (main, found):
        for verb in reversed([*_VERBS.finditer(text)]):
            after = [one for one in numbers_ if one.start() >= verb.end() - 1]
            if after:
                return after[0]
        if numbers_:
            return numbers_[-1]
    return found[-1]


def _adjunct(text: str, number: re.Match[str]) -> bool:
    """Whether a number only says when, for what or out of how many."""
    before = text[max(0, number.start() - 60) : number.start("whole")]
    return _ADJUNCT.search(before) is not None and _SUM_OF.search(before) is None


_IN_ALL = re.compile(r"(?:\s[A-Za-z]+){0,3}\s?,?\s(?:in all|in total|altogether|all together)\b", re.IGNORECASE)


def _several(text: str, number: re.Match[str]) -> bool:
    """Whether a number is one of several candidates."""
    return (
        re.match(
            r"(?:\s[A-Za-z]+){0,2}\s*,?\s(?:or|or maybe)\s[$\d]|(?:\s[A-Za-z]+){0,2}:\s*[$\d]", text[number.end() :]
        )
        is not None
    )


def _shown(token: re.Match[str]) -> str | None:
    value = numbers.exact(token, percent=False)
    return None if value is None else numbers.written(value)
