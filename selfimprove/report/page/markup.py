"""HTML from Python: text is escaped unless it is markup already, so no text of a model becomes an element."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable

from selfimprove.safety.redaction import redact

STRANGE = "\N{REPLACEMENT CHARACTER}"
"""What stands for a character that steers a display: control characters and those that turn the direction of text."""
JOINER = "\N{ZERO WIDTH JOINER}"
"""The one invisible character that stays: it makes one picture of several, as in emoji of families."""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def escaped(text: str) -> Html:
    """Foreign text as markup: without secrets, and with nothing that steers the display."""
    if isinstance(text, Html):
        return text
    text = redact(text)
    if not text.isprintable():
        text = "".join(c if c in "\n\t" + JOINER or unicodedata.category(c)[0] != "C" else STRANGE for c in text)
    return Html(html.escape(text))


def tag(name: str, /, *inside: str, **attributes: str | bool | None) -> Html:
    """An element: `tag("td", "3 < 4", class_="l", data_l="verdict")`.

    Args:
        inside: markup, or text, which is escaped.
        attributes: True gives a name alone; False and None leave it out. Underscores become hyphens.
    """
    told = [
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escaped(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    ]
    begin = f"<{name}{''.join(told)}>"
    return Html(begin if name in VOID else f"{begin}{joined(inside)}</{name}>")


VOID = ("input", "meta", "br")
"""Elements without content."""


def joined(parts: Iterable[str]) -> Html:
    """Markup and text one after the other."""
    return Html("".join(map(escaped, parts)))


def table(
    caption: str, heads: Iterable[str], rows: Iterable[Iterable[str]], class_: str | None = None, left: int = 1
) -> Html:
    """A table whose first column names its rows; it scrolls by itself where it is too wide.

    Args:
        caption: for those who hear it.
        left: columns from the left that hold words, so that they are flush left.
    """
    sides = {True: "l", False: None}
    head = (tag("th", head, scope="col", class_=sides[place < left]) for place, head in enumerate(heads))
    body = (
        tag(
            "tr",
            *(
                tag("td", cell, class_=sides[place < left]) if place else tag("th", cell, scope="row")
                for place, cell in enumerate(row)
            ),
        )
        for row in rows
    )
    made = tag(
        "table",
        tag("caption", caption, class_="vh"),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
        class_=class_,
    )
    return tag("div", made, class_="scroll")


def terms(pairs: Iterable[tuple[str, str]], class_: str = "slots") -> Html:
    """Names with what they mean."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs), class_=class_)


def bars(rows: Iterable[tuple[str, str, float, str]]) -> Html:
    """Bars with their names and values.

    Args:
        rows: (name, value in words, share of the longest bar in [0, 1], class of the bar).
    """
    items = (
        tag(
            "li",
            tag("span", name, class_="fl"),
            tag("span", value, class_="fv"),
            tag("span", tag("span", class_=f"bar {kind}".strip(), style=f"width:{100 * share:.1f}%"), class_="track"),
        )
        for name, value, share, kind in rows
    )
    return tag("ol", *items, class_="flow")


def details(summary: str, *inside: str) -> Html:
    """What is folded until somebody opens it."""
    return tag("details", tag("summary", summary), *inside)
