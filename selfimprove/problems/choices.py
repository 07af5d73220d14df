"""The letter A to J of a multiple-choice answer, in every usual form, and never a letter out of an option's text."""

from __future__ import annotations

import re

from selfimprove.problems import plain, sentences

_OPEN = r"(?:[\s(\[{<*_`'\"“$]|\\(?:text|mathrm|mathbf|textbf|boxed|fbox)\s?\{|\\[(\[])*"
_KIND = (
    r"(?i:(?:the|la|le|el|die|der|das|il|o|a opção)\s(?=\W*[A-J]\b"
    r"|option|choice|letter|answer|opción|réponse|lettre|respuesta|letra|risposta|lettera))?"
    r"(?i:(?:the\s)?(?:correct\s)?(?:option|choice|letter|answer|opción|opção|opsi|réponse|respuesta|resposta|risposta"
    r"|antwort|lettre|letra|lettera|вариант|ответ|选项|選項)\s?[:：]?\s*)?"
)
_STATED = re.compile(
    rf"{_OPEN}{_KIND}{_OPEN}(?P<letter>[A-Ja-j])(?![A-Za-z0-9]|_(?!_)|['’][a-z])(?P<close>[)\]}}>*_`'\"”$]|\\[)\]])*"
    r"(?P<rest>.*)",
    re.DOTALL,
)
_CONNECTED = re.compile(
    r"\s*(?:$|[.:;,=—–\-(（，。：、!]|\d|because\b|since\b|as\b|for\b|with\b|which\b|where\b|not\b|but\b|by\b|based\b|due\b|given\b"
    r"|here\b|again\b|then\b|only\b|alone\b|instead\b|rather\b|over\b|and\b|or\b|nor\b|is\b|was\b|\\|\*"
    r"|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])",
    re.IGNORECASE,
)
"""What may follow a letter that has no bracket or other closing mark: a word would make it an article or a name."""
_OTHERS = re.compile(
    r"\s*[)\]]?\s*(?:,\s*(?:and|or)?|/|&|and|or|or maybe|as well as|\+)\s*"
    r"(?:also |maybe |possibly |option |choice |else )?[(\[*]*(?P<letter>[A-J])(?![A-Za-z0-9])(?!\s+(?!or\b"
    r"|and\b)[a-z])",
)
"""Another letter after the first: the text names several."""
_PRONOUN = re.compile(
    r"\s*(?:$|[.,:;)]|because\b|since\b|as\b|\()",
    re.IGNORECASE,
)
_CHOSEN = re.compile(
    r"(?:(?i:\b(?:choose|chose|pick|picked|select|selected|go with|going with|opt for|opting for|option|choice"
    r"|leaves|leaving|matches|corresponds to"
    r"|it(?:'s| is)|it (?:must|should|can only) be|be|is|so|therefore|thus|hence|answer|letter))|选|選|选择|答案)"
    r"\s*:?\s*(?i:option |choice |letter |answer |the answer |clearly |probably )?[(*\[\"']*"
    r"(?P<letter>[A-J])(?![A-Za-z0-9'’])(?!\s+[a-z]+\s(?:is|has|was|can|will)\b)"
)
_RIGHT = re.compile(
    r"(?:^|[\s(*\[])(?P<letter>[A-J])[)*\].:]*\s(?:is|seems|looks|must be|would be|appears)\s(?:the\s|to be\s"
    r"|therefore\s|clearly\s)*"
    r"(?:correct|right|best|better|true|answer|only)\b"
)
_DENIED = re.compile(
    r"(?:^|[\s(*\[])(?P<letter>[A-J])[)*\]]*\s(?:is|are|was|seems|can|could|does|cannot|isn'?t|can'?t|fails?)\b[^,.;]*",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?:[Nn]ot|neither|isn'?t|rule out|eliminate|[Aa]nything but|except|reject"
    r"|(?:can't|cannot|can not|could not|couldn't|won't) be)\s+"
    r"(?:both\s)?(?:option |choice )?[(*]*[A-J]\b(?:(?!\bbut\b)[^,.;])*"
)
_FREE = re.compile(r"(?<![A-Za-z0-9_'’\-\\])(?P<letter>[A-J])(?![A-Za-z0-9_'’\-])")
_OVER = re.compile(r"([A-J]\)?)\s(?:over|rather than|instead of|not|>)\s\(?[A-J]\b\)?")
_AGAINST = re.compile(r"\W*(?:option )?[A-J]\W*,\s(?:however|though|on the other hand)\b", re.IGNORECASE)
"""How a sentence about another letter begins."""
_WIDE = str.maketrans("（）［］【】：", "()[][]:")
_NAMED_AFTER = re.compile(
    r"\b(?:plan|vitamin|hepatitis|type|group|class|grade|company|point|line|case|set|event|phase|figure|table|part|section|system|machine"
    r"|person|player|team|step|factor|block|gene|angle|node|site|state|city|town|box|bag|method|matrix|vector|function|object|solution"
    r"|variable|substance|compound|element|scenario|statement)s?\s$",
    re.IGNORECASE,
)


_NAMED = re.compile(r"\b(?:[Oo]ption|[Cc]hoice)\s?\(?([A-J])\b(?!\s?(?:or|and)\b)")
"""An option that is named after its text: `12 apples, which is option E`."""


def of_value(said: str) -> str | None:
    """The letter that a statement begins with; None if it states something else, or several letters."""
    said = said.strip().translate(_WIDE)
    found = _STATED.match(said)
    if found is None:
        named = {one[1] for one in _NAMED.finditer(said)}
        return named.pop() if len(named) == 1 and not sentences.denies(said) else None
    letter, rest, closed = found["letter"], found["rest"], found["close"] or _opened(said, found)
    alone = plain.peel(rest).strip(" .)]}*\\") == ""
    if letter.islower() and not (alone or (closed and letter != "i") or re.match(r"\s*[.):]", rest)):
        return None
    if letter == "I" and not (alone or closed or _PRONOUN.match(rest)):
        return None
    if re.match(r"\s*=\s*[a-z\\]", rest):
        return None
    if not closed and not _CONNECTED.match(rest):
        return None
    if letter in "Aa" and not closed and not alone and re.match(r"\s*-\w", rest):
        return None
    several = _OTHERS.match(rest)
    if several and several["letter"] != letter.upper():
        return None
    return None if re.match(r"\s*(?:is|was)\s+(?:not|wrong|incorrect|false)\b", rest) else letter.upper()


def _opened(said: str, found: re.Match[str]) -> bool:
    """Whether a bracket or a mark stands directly before the letter."""
    return said[: found.start("letter")].endswith(("(", "[", "{", "*", "$", '"', "“", "`", "'"))


def is_formula(value: str) -> bool:
    """Whether a box holds a formula of the work instead of a letter."""
    return re.search(r"\\[A-Za-z]+|[=<>+^]", plain.peel(value)) is not None


def of_text(text: str) -> str | None:
    """The letter of a text without a statement: the whole text, else the last sentence that names one letter."""
    lines = [line for line in text.strip().translate(_WIDE).splitlines() if line.strip()]
    if _lists_options(lines):
        lines = [line for line in lines if not _CHOICE_LINE.match(line)]
    if not lines:
        return None
    if (
        (whole := of_value(lines[0]))
        and not re.match(r"\W*[A-J]\s*=", lines[0])
        and (len(lines) == 1 or len(lines[0].strip()) <= 4 or _CHOICE_LINE.match(lines[0]))
    ):
        return whole
    for sentence in reversed(sentences.sentences("\n".join(lines))):
        if sentences.asks(sentence) or sentences.remarks(sentence) or _AGAINST.match(sentence):
            continue
        letters = _of_sentence(sentence)
        if len(letters) == 1:
            return letters.pop()
        if letters or sentences.UNKNOWN.search(sentence):
            return None
    return None


_CHOICE_LINE = re.compile(r"\s*[*(\[]*[A-Ja-j][*)\].:]+(?:\s|$)")


def _lists_options(lines: list[str]) -> bool:
    """Whether lines are a list of options with their letters."""
    return sum(_CHOICE_LINE.match(line) is not None for line in lines) > 1


def _of_sentence(sentence: str) -> set[str]:
    """The letters that a sentence may choose; one that it denies is left out."""
    if (whole := of_value(sentence)) is not None and not re.match(r"\W*[A-J]\s*=", sentence):
        return {whole}
    said = _OVER.sub(r"\1", sentence)
    for found in [*_DENIED.finditer(said)]:
        if sentences.denies(found[0]):
            said = said.replace(found[0], " ", 1)
    said = _NOT.sub(" ", said)
    for pattern in (_RIGHT, _CHOSEN):
        if found := [*pattern.finditer(said)]:
            last = found[-1]
            letter, rest = last["letter"], said[last.end("letter") :]
            if re.match(r"\s*=", rest):
                continue
            if letter in "AI" and re.match(r"\s+[a-z]", rest) and not _CONNECTED.match(rest):
                continue
            several = _OTHERS.match(rest)
            return {letter, several["letter"]} if several else {letter}
    letters = {found["letter"] for found in re.finditer(r"\((?P<letter>[A-J])\)", said)}
    letters = letters or {found["letter"] for found in _FREE.finditer(said) if _stands_alone(said, found)}
    return letters if len(letters) < 2 or ";" not in said else _of_sentence(said.rpartition(";")[2])


def _stands_alone(said: str, found: re.Match[str]) -> bool:
    """Whether a capital letter is neither an article, a pronoun, nor part of a name."""
    before, after = said[: found.start()], said[found.end() :]
    if found["letter"] == "I":
        return False
    if found["letter"] == "A" and re.match(r"\s+[a-z]", after) and not _CONNECTED.match(after):
        return False
    return (
        not _NAMED_AFTER.search(before) and not re.search(r"[=+*/^]\s*$", before) and not re.match(r"\s*[=+*/^]", after)
    )
