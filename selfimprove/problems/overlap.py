"""Which texts share wording with held-out problems: twins up to punctuation, and runs of twelve words. Not a method.

A run that more than TEMPLATE problems have, or a tenth of a small set, is the template of the data, such as an
instruction that every problem ends with, and says nothing (as in GPT-3, arXiv:2005.14165, appendix C). Words are what
white space divides, without case and the punctuation around them; a script without spaces has too few of them.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from selfimprove.problems.splits import APART, folded, split_of
from selfimprove.records import Document, Message, Preference, Prompt, Record

WORDS = 12
"""Length of a run, in words."""
TEMPLATE = 10
"""Most problems that share a run which still counts."""
_PARTS = 4
"""Parts in which runs are counted, one after another."""
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
    """The runs of held-out problems; looking a text up takes time in proportion to its length.

    A run takes 8 bytes here and up to 20 while they are counted, where a set of Python's numbers took 150: whoever
    writes rows of one-letter words could fill the memory with them.
    """

    def __init__(self, problems: Iterable[Prompt], training: Iterable[Prompt] = ()) -> None:
        import numpy as np

        found, held_out = [array("q") for _ in range(_PARTS)], 0
        for problem in problems:
            held_out += 1
            for part, numbers in zip(found, _numbers(posed(problem.prompt)), strict=True):
                part.frombytes(numbers.tobytes())
        self._runs, times = list[Any](), list[Any]()
        while found:
            known, count = np.unique(np.frombuffer(found.pop(0), dtype=np.int64), return_counts=True)
            self._runs.append(known)
            times.append(count)
        common, number = dict[int, list[Any]](), -1
        for number, problem in enumerate(training):
            if any(map(len, places := self._places(posed(problem.prompt)))):
                common[number] = places
        for places in common.values():
            for count, place in zip(times, places, strict=True):
                count[place] += 1
        most = min(TEMPLATE, max(2, (held_out + number + 1) // 10))
        kept = [count <= most for count in times]
        self.near = [False] * (number + 1)
        """Which of the training problems share a run."""
        for number, places in common.items():
            self.near[number] = any(keep[place].any() for keep, place in zip(kept, places, strict=True))
        self._runs = [known[keep] for known, keep in zip(self._runs, kept, strict=True)]

    def shares(self, text: str) -> bool:
        """Whether a text has a run of a held-out problem."""
        return any(map(len, self._runs)) and any(map(len, self._places(text)))

    def _places(self, text: str) -> list[Any]:
        """Where among the known runs those of a text are, in each part."""
        import numpy as np

        found = list[Any]()
        for known, numbers in zip(self._runs, _numbers(text), strict=True):
            place = np.searchsorted(known, numbers)
            found.append(place[known.take(place, mode="clip") == numbers] if len(known) else place[:0])
        return found


def _numbers(text: str) -> list[Any]:
    """The runs of a text as 64-bit numbers, int64 (n,), in `_PARTS` parts."""
    import numpy as np

    found = runs(text)
    every = np.fromiter(found, dtype=np.int64, count=len(found))
    return [every[every % _PARTS == part] for part in range(_PARTS)]


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


def taught(record: Record) -> str:
    """The text of a record whose length counts: the completion, the chosen one of a pair, or all of a text."""
    match record:
        case Document():
            return record.text
        case Prompt():
            return record.prompt[-1]["content"]
        case Preference():
            return record.chosen[-1]["content"]
        case _:
            return record.text


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


def loose(text: str) -> str:
    """A text, folded, without the punctuation around words; signs between and before them, as in `3 - 5`, stay."""
    return _loose(folded(text))


def _loose(key: str) -> str:
    """A key without the punctuation around words; signs between and before them, as in `3 - 5` or `5!`, stay."""
    text = key.partition(APART)[0]
    return " ".join(_LOOSE.sub("", text).split()) or text
