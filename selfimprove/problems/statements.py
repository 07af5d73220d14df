"""Where a completion states its answer: in a box, after ####, in an answer tag, or in words such as `the answer is`.

The last statement counts, whatever its kind. A question, a supposition and a description of the answer are none. One
that denies (`the answer is not 7`) states nothing; if all do, nothing before the last of them is an answer.
"""

from __future__ import annotations

from selfimprove.problems.boxes import Statement, boxes, hashes, tags
from selfimprove.problems.phrases import named, phrases


def statements(text: str, cut: bool = False) -> list[Statement]:
    """The last statements of a text in order.

    Args:
        cut: the text was cut off; a statement that its end belongs to was not finished and is left out.
    """
    boxed = [*boxes(text)]
    words = [one for one in (*phrases(text, cut), *named(text)) if not any(b.at < one.at < b.end for b in boxed)]
    found = [*boxed, *hashes(text, cut), *tags(text, cut), *words]
    return sorted(found, key=lambda one: (one.at, one.end))
