"""Which texts share wording with held-out problems: twins up to punctuation, and runs of twelve words. Not a method.

A run that more than TEMPLATE problems have, or a tenth of a small set, is the template of the data, such as an
instruction that every problem ends with, and says nothing (as in GPT-3, arXiv:2005.14165, appendix C). Words are what
white space divides, without case and the punctuation around them; a script without spaces has too few of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from selfimprove.problems.splits import APART, folded, split_of
from selfimprove.records import Document, Message, Preference, Prompt, Record

WORDS = 12
"""Length of a run, in words."""
TEMPLATE = 10
"""Most problems that share a run which still counts."""
_AROUND = ".,;:!?\"'()[]{}\u201c\u201d\u2018\u2019\u2026*_`"
_LOOSE = re.compile(r"""[.,;:?"`\u201c\u201d\u2026]+(?=\s|$)|(?<!\S)["`\u201c\u201d]+""")


def runs(text: str) -> set[int]:
    """Hashes of all runs of WORDS words in a text; equal in one process only."""
    words = [word for one in folded(text).split(" ") if (word := one.strip(_AROUND))]
    if len(words) < WORDS:
        return set()
    numbers = list(map(hash, words))
    return set(map(hash, zip(*(numbers[i:] for i in range(WORDS)), strict=False)))


def may_share(text: str) -> bool:
    """Whether a text has enough words for a run; costs less than to look for one."""
    return len(text.split(maxsplit=WORDS)) >= WORDS


class HeldOut:
    """The runs of held-out problems; looking a text up takes time in proportion to its length."""

    def __init__(self, problems: Iterable[Prompt], training: Iterable[Prompt] = ()) -> None:
        times, common, held_out = Counter[int](), list[set[int]](), list(problems)
        for problem in held_out:
            times.update(runs(posed(problem.prompt)))
        for problem in training:
            common.append(times.keys() & runs(posed(problem.prompt)))
        for shared in common:
            times.update(shared)  # all of it is in there
        most = min(TEMPLATE, max(2, (len(held_out) + len(common)) // 10))
        self._runs = {run for run, count in times.items() if count <= most}
        self.near = [not self._runs.isdisjoint(shared) for shared in common]
        """Which of the training problems share a run."""

    def shares(self, text: str) -> bool:
        """Whether a text has a run of a held-out problem."""
        return bool(self._runs) and not self._runs.isdisjoint(runs(text))


def posed(messages: Sequence[Message]) -> str:
    """The text of a problem, without the system message that all problems have."""
    return "\n".join(message["content"] for message in messages if message["role"] != "system")


def text_of(record: Record) -> str:
    """All that a model would learn from or see in a record, apart from system messages."""
    match record:
        case Document():
            return record.text
        case Prompt():
            return posed(record.prompt)
        case Preference():
            return posed([*record.prompt.prompt, *record.chosen, *record.rejected])
        case _:
            return posed([*record.prompt.prompt, *record.completion])


def twins(keys: Iterable[str]) -> list[tuple[str, str]]:
    """Held-out problems that equal a training problem up to punctuation and spaces: (held out, training)."""
    training: dict[str, str] = {}
    others: list[str] = []
    for key in keys:
        if split_of(key) == "train":
            training.setdefault(_loose(key), key)
        else:
            others.append(key)
    return [(key, training[_loose(key)]) for key in others if _loose(key) in training]


def _loose(key: str) -> str:
    """A key without the punctuation around words; signs between and before them, as in `3 - 5` or `5!`, stay."""
    text = key.partition(APART)[0]
    return " ".join(_LOOSE.sub("", text).split()) or text
