"""The structure of a mathematical answer: sets, unions, tuples, matrices and equations of simpler answers."""

from __future__ import annotations

import re

from selfimprove.problems.latex import formulas, prose, split, tidy
from selfimprove.problems.math_atoms import Form, atom
from selfimprove.problems.math_compare import show
from selfimprove.problems.math_intervals import ORDER, VARIABLE, merged, order, without
from selfimprove.problems.math_worker import LONGEST

_LISTED = re.compile(
    r",(?!\d{3}(?!\d))|,\s|;|\\(?:text|mathrm|mbox)\s?\{\s*,?\s*(?:and|or|&)\s*\}|(?<![\w\\])(?:and|or)(?!\w)|\\(?:text|mathrm)\s?\{\s*,\s*\}|\\lor\b|\\vee\b"
)
_INSIDE = re.compile(r",|;")
_CUP = re.compile(r"\\cup(?![A-Za-z])|\bU\b")
_EQUALS = re.compile(r"=")
_NAMED = re.compile(
    r"(?:m\s?\\angle\b[^=]*|\([a-z](?:\s?,\s?[a-z])+\)|[A-Za-z](?:_\{?\w+\}?|')?(?:\s?\([^()=]*\))?|[A-Z]{2,}|\\?(?:angle|triangle|overline|text|mathrm|operatorname|mathbb|vec|hat|bar|overrightarrow|alpha|beta|theta|phi|lambda|Delta)"
    r"\b[^=]*|\\(?:sin|cos|tan|log|ln|cot|sec)\b[^=]*|\|[^|=]*\||[a-z]{3,}(?: [a-z]+)*|[a-zA-Z]\^\{-1\}\([^()]*\)"
    r"|[A-Z]\([^()=]*\))"
)
_MATRIX = re.compile(
    r"\\begin\{(p|b|v|B|V|small)?(?:matrix|array)\}(?:\{[lcr|]*\})?(.*?)\\end\{(?:p|b|v|B|V|small)?(?:matrix|array)\}",
    re.DOTALL,
)
_LEAD = re.compile(
    r"(?:\\(?:therefore|implies|Rightarrow|quad|because)\b|(?:exactly|approximately|about|only|simply|equal to"
    r"|an?|the|just|total of|then|now|that)\s)+",
    re.IGNORECASE,
)
_STOP = re.compile(
    r"\s(?:which|because|since|so that|where|after|whereas|rather than|instead of|as)\b|,\s(?:so|which|where|in"
    r"|for|with|as|a|the|and\s+[a-z]{3,})\b|\s\("
)


_NEAR = re.compile(r"\\approx(?![A-Za-z])")
_WORKED = re.compile(r"\\(?:sum|prod|int|lim|max|min|sup|inf|det|gcd)(?![A-Za-z])")
"""What the left side of an equation works out."""
_REMARK = re.compile(
    r"\s*(?:\\q?quad\s*)*(?:\\text\s?\{\s*)?(?<![A-Za-z])\((?:since|because|as|check|where|note|for|with|from|by|using|see|which)\b",
    re.IGNORECASE,
)
_BUILT = re.compile(
    r"\s*[A-Za-z]\s*(?:\\in(?![A-Za-z])[^:|]*?)?(?:\\mid(?![A-Za-z])|\\colon(?![A-Za-z])|[:|])(.*)", re.DOTALL
)
"""The condition of a set such as {x : x > 3}."""
_OUTWARD = re.compile(
    r"(?:\](?P<in>[^\[\](){}]+[,;][^\[\](){}]+)(?P<right>[\[\])])|\[(?P<in2>[^\[\](){}]+[,;][^\[\](){}]+)\[)"
)
"""An interval with brackets that look outwards: ]0, 1[."""


def of_value(said: str) -> Form | None:
    """The answer that a statement gives; None if it gives no mathematics."""
    said = said.strip()
    if not said or len(said) > LONGEST:
        return None
    return _form(tidy(_mathematics(plain_math(said))))


_AROUND = re.compile(
    r"(?<![\w\\])(\*\*\*|\*\*|__|`)(?=\S)(.*?)(?<=\S)\1(?![\w\\])"
    r"|(?<![\w*\\)}])\*(?=\S)([^*\n]*?)(?<=\S)\*(?![\w*\\({])"
)


def plain_math(said: str) -> str:
    """A statement without emphasis and quotes around it."""
    said = _AROUND.sub(lambda found: found[2] or found[3], said.strip())
    return re.sub(r"^(?:\*\*|__|[\"“'`])+|(?:\*\*|__|[\"”'`])+\.?$", "", said).strip()


def _mathematics(said: str) -> str:
    """The formula of a statement in prose: $\\frac{3}{4}$ of `$\\frac{3}{4}$ of the cake`."""
    remark = _REMARK.search(said)
    if remark and re.search(r"\d|\\", said[: remark.start()]):
        said = said[: remark.start()]
    spans = formulas(said)
    if spans:
        kept, end = [said[: spans[0][0]]], spans[0][0]
        if prose(kept[0]):
            kept = [""]
        for start, stop, inside in spans:
            between = said[end:start]
            joins = re.fullmatch(r"[\s,;]*(?:and|or|=|\\approx)?[\s,;]*", between)
            if end != spans[0][0] and not joins:
                break
            kept += [between if end != spans[0][0] else "", inside]
            end = stop
        rest = said[end:]
        tail = rest if not prose(rest) and not rest.strip(" .,;:").startswith("(") else ""
        return " ".join([*kept, tail])
    found = _STOP.search(said)
    if found and re.search(r"\d|\\", said[: found.start()]) and prose(said):
        said = said[: found.start()]
    return said


def _form(text: str, depth: int = 0) -> Form | None:
    """The form of a tidy formula."""
    text = text.strip(" ,;$").rstrip(" .,;$")
    text = (
        text.replace("\\(", "").replace("\\)", "").replace("\\[", "").replace("\\]", "").strip()
        if "\\(" in text or "\\[" in text
        else text
    )
    if not text or depth > 6:
        return None
    if lead := _LEAD.match(text):
        text = text[lead.end() :].strip() or text
    if _OUTWARD.fullmatch(text):
        text = ("(" if text[0] == "]" else "[") + text[1:-1] + (")" if text[-1] == "[" else text[-1])
    if text.startswith("{") and text.endswith("}") and text.count("{") == 1:
        text = text[1:-1].strip()
    if listed := re.fullmatch(r"\\text\s?\{((?:[-\d.,;\s]|\band\b|\bor\b)*\d(?:[-\d.,;\s]|\band\b|\bor\b)*)\}", text):
        text = listed[1].strip()
    if "\\approx" in text and (near := [part.strip() for part in _NEAR.split(text)])[0]:
        text = near[1] if VARIABLE.fullmatch(near[0]) else near[0]
    if matrix := _MATRIX.fullmatch(text):
        rows = [row.split("&") for row in re.split(r"\\\\", matrix[2]) if row.strip()]
        cells = _every([cell for row in rows for cell in row], depth)
        return None if cells is None else Form("matrix", f"{len(rows)}", cells)
    if "\\pm" in text and text.count("\\pm") == 1 and len(split(text, _LISTED)) == 1 and "=" not in text:
        return _several("set", [text.replace("\\pm", "+").strip().removeprefix("+"), text.replace("\\pm", "-")], depth)
    for kind, separators in (("set", _LISTED), ("union", _CUP)):
        parts = [part for part in split(text, separators) if part.strip(" $")]
        if len(parts) > 1 and not (kind == "set" and _prose_list(parts)):
            return _several(kind, parts, depth)
    if (inside := _bracketed(text)) is not None:
        left, middle, right = inside
        parts = split(middle, _INSIDE)
        if left == "\\{" and not re.search(r"\\mid|\||:", middle):
            return _several("set", parts, depth)
        if left == "\\{" and (built := _BUILT.fullmatch(middle)):
            return _form(built[1], depth + 1)
        if len(parts) > 1 and left != "\\{":
            forms = _every(parts, depth)
            return None if forms is None else Form("tuple", left + right, forms)
        if left == "(" and right == ")":
            return _form(middle, depth + 1)
    if less := re.fullmatch(
        r"(?:\\mathbb\s?\{?R\}?|\(-\\infty\s?,\s?\+?\\infty\s?\))\s?(?:\\setminus|\\backslash|-)\s?(\\\{.*\\\})", text
    ):
        holes = _form(less[1], depth + 1)
        return None if holes is None else without(holes.parts or (holes,))
    if member := re.fullmatch(r"([A-Za-z]|\\theta)\s?\\in(?![A-Za-z])(.*)", text, re.DOTALL):
        return _form(member[2], depth + 1)
    if "=" in text and len(sides := split(text, _EQUALS)) > 1 and not re.search(r"[<>!]=", text):
        return _equation([side.strip() for side in sides], depth)
    if len(sides := split(text, ORDER)) > 1 and (found := order(text, sides, lambda part: _form(part, depth + 1))):
        return found
    return atom(text, lambda part: _form(part, depth + 1))


def _prose_list(parts: list[str]) -> bool:
    """Whether what looks like a list is a sentence."""
    return sum(prose(part) and not re.search(r"\d|\\", part) for part in parts) > 0 and any(
        re.search(r"\d", part) for part in parts
    )


def _bracketed(text: str) -> tuple[str, str, str] | None:
    """The opening bracket, the inside and the closing bracket, if one pair encloses the whole."""
    found = re.match(r"\(|\[|\\\{|\\langle(?![A-Za-z])", text)
    if found is None:
        return None
    left = found[0]
    depth, place = 0, 0
    while place < len(text):
        token = re.compile(r"\\[{}]|\\[lr]angle|\\[A-Za-z]+|[()\[\]]|.", re.DOTALL).match(text, place)
        assert token
        if token[0] in ("(", "[", "\\{", "\\langle"):
            depth += 1
        elif token[0] in (")", "]", "\\}", "\\rangle"):
            depth -= 1
            if depth == 0:
                whole = token.end() == len(text)
                return (left, text[found.end() : place], token[0]) if whole else None
        place = token.end()
    return None


def _every(parts: list[str], depth: int) -> tuple[Form, ...] | None:
    """The form of each part; None if one of them has none."""
    forms = [form for part in parts if (form := _form(part, depth + 1)) is not None]
    return tuple(forms) if len(forms) == len(parts) else None


def _several(kind: str, parts: list[str], depth: int) -> Form | None:
    """A set, or a union, of answers; one answer alone is itself."""
    named = [split(part, _EQUALS) for part in parts]
    names = {re.sub(r"_\{?\w+\}?", "", sides[0].strip()) for sides in named if len(sides) == 2}
    if len(names) == 1 and VARIABLE.fullmatch(next(iter(names))):
        parts = [sides[-1] for sides in named]
    forms: list[Form] = []
    for part in parts:
        form = _form(part, depth + 1)
        if form is None:
            return None
        if len(named) > 1 and len(names) > 1 and form.equation:
            form = Form("equation", form.equation)
        inner = form.parts if form.kind in (kind, "set") else (form,)
        forms += [one for one in inner if one not in forms]
    if (
        kind == "set"
        and len(forms) > 1
        and all(
            one.kind in ("tuple", "union") and one.text in ("()", "(]", "[)", "[]") and _interval(one) for one in forms
        )
    ):
        kind = "union"
    if kind == "union" and all(one.kind not in ("tuple", "union") for one in forms):
        kind = "set"
    if kind == "union":
        forms = merged(forms)
    return forms[0] if len(forms) == 1 else Form(kind, "", tuple(sorted(forms, key=show)))


def _interval(form: Form) -> bool:
    """Whether a pair has an infinite end or half-open brackets, so that it is an interval."""
    return len(form.parts) == 2 and (form.text in ("(]", "[)") or any("infty" in part.text for part in form.parts))


def _equation(sides: list[str], depth: int) -> Form | None:
    """An equation: the value of the right-hand side where the left one names it, else the equation as a whole."""
    last = re.split(r"\\approx(?![A-Za-z])", sides[-1])[0]
    value = _form(last, depth + 1)
    if len(sides) > 2 or value is None:
        return value
    left = sides[0]
    if _NAMED.fullmatch(left) or _WORKED.search(left) or _form(left, depth + 1) == value:
        return Form(value.kind, value.text, value.parts, f"{left} = {last}")
    if (
        _NAMED.fullmatch(last)
        and not VARIABLE.search(last.replace("\\", "")[1:])
        and (swapped := _form(left, depth + 1))
    ):
        return Form(swapped.kind, swapped.text, swapped.parts, f"{last} = {left}")
    first = _form(left, depth + 1)
    if first and first.kind == "number" and value.kind == "number":
        return value
    if value.kind == "number" and not re.search(r"(?<![A-Za-z\\])[a-z](?![a-z])", left):
        return value
    return Form("equation", f"{left} = {last}")
