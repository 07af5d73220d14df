"""The new problems that a step makes of replies: readable, open to training, new, and unlike what is known.

Every method that writes problems takes them through a `Harvest`, so that no held-out problem gets in, and all of them
report the same numbers.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

from selfimprove.interfaces import Context
from selfimprove.measures.rouge import Pool
from selfimprove.measures.synthesis import drift, variety
from selfimprove.problems.splits import split_of
from selfimprove.records import Prompt, Rollout, changed
from selfimprove.text import quoted

_ITEM = re.compile(r"^\s*(\d+)[.)]\s+", re.MULTILINE)


class Harvest:
    """Takes problems in one by one.

    Args:
        method: the name under which it reports.
        known: the problems that a new one must differ from, by its key and by its words.
        seeds: what `drift` is measured from; None: what is known.
        similarity: the highest ROUGE-L with a known or an earlier new problem; 1 compares keys alone.
    """

    def __init__(
        self,
        method: str,
        known: Sequence[Prompt],
        context: Context,
        similarity: float = 1.0,
        seeds: Sequence[Prompt] | None = None,
    ) -> None:
        self.kept: list[Prompt] = []
        self._method, self._context = method, context
        self._seeds, self._keys = [*(known if seeds is None else seeds)], {prompt.key for prompt in known}
        self._pool, self._stated = Pool(similarity), set[str]()
        for prompt in known:
            self._pool.add(quoted(prompt.prompt))
        self._asked = self._valid = self._held_out = self._fresh = self._tokens = 0

    def paid(self, replies: Sequence[Rollout]) -> None:
        """Count the tokens of completions."""
        self._tokens += sum((reply.logprobs or {}).get("count", 0) for reply in replies)

    def read(self, reply: Rollout, text: str | None = None) -> Prompt | None:
        """The problem that a reply states; None if it states none or was cut off.

        Args:
            text: a part of it that is to be read instead; a reply that was cut off may have whole parts before its end.
        """
        self._asked += 1
        if text is None and reply.truncated:
            return None
        problem = self._context.roles.read_proposal(reply.text if text is None else text)
        if problem is not None:
            self._valid += 1
            self._stated.add(problem.key)
        return problem

    def fresh(self, problem: Prompt) -> bool:
        """Whether a problem is open to training, and neither known nor like a known one; from now on it is known."""
        if split_of(problem.key) != "train":
            self._held_out += 1
            return False
        if problem.key in self._keys:
            return False
        self._keys.add(problem.key)
        self._fresh += 1
        text = quoted(problem.prompt)
        if self._pool.holds_like(text):
            return False
        self._pool.add(text)
        return True

    def keep(self, problem: Prompt, *, answers: bool, **changes: Any) -> Prompt:
        """Keep a problem.

        Args:
            answers: keep the answer that comes with it.
            changes: other fields of the record, such as `parents`; `info` is added to the problem's own.
        """
        info = {**problem.info, **changes.pop("info", {})}
        made = changed(problem, answer=problem.answer if answers else None, info=info, **changes)
        self.kept.append(made)
        return made

    def take(self, problem: Prompt | None, *, answers: bool, **changes: Any) -> Prompt | None:
        """`keep` a problem if it is `fresh`."""
        return None if problem is None or not self.fresh(problem) else self.keep(problem, answers=answers, **changes)

    def report(self) -> list[Prompt]:
        """Report what came of the replies, and return the problems that were kept.

        The metrics: `valid`, the share of texts that state a problem; `distinct`, the share of different ones among
        these; `held_out`, how many were of held-out problems; `fresh` and `kept`, the shares of texts with a new
        problem and with one that was kept; `variety` and `drift` of those kept, see `measures/synthesis.py`; `tokens`
        drawn for each of them.
        """
        asked, texts = max(1, self._asked), [quoted(prompt.prompt) for prompt in self.kept]
        numbers = {
            "valid": self._valid / asked,
            "distinct": len(self._stated) / max(1, self._valid),
            "held_out": self._held_out,
            "fresh": self._fresh / asked,
            "kept": len(self.kept) / asked,
            "variety": variety(texts),
            "drift": drift([quoted(prompt.prompt) for prompt in self._seeds], texts),
            "tokens": self._tokens / max(1, len(self.kept)),
        }
        for name, number in numbers.items():
            self._context.log.metric(f"{self._method}/{name}", number)
        if not self.kept:
            self._context.log.note(
                f"{self._method}: none of {self._asked} replies states a new problem that may be trained on "
                f"({self._valid} state a problem, {self._held_out} a held-out one)"
            )
        return self.kept


def items(reply: Rollout, most: int) -> list[str]:
    """The parts of a reply that is a numbered list, without their numbers; the whole reply if it is none.

    The last part of a reply that was cut off is left out.

    Args:
        most: parts that are taken, from the first on; with 1 the reply is one part, whatever numbers are in it.
    """
    text, starts, following = str(reply.text).strip(), list[tuple[int, int]](), 0
    for found in _ITEM.finditer(text):  # only numbers that count on: an item may have a list of its own
        if not starts or int(found[1]) == following:
            starts.append(found.span())
            following = int(found[1]) + 1
    if most == 1 and len(starts) > 1:
        starts = []
    if not starts:
        return [] if reply.truncated else [text]
    ends = [*(start for start, _ in starts[1:]), len(text)]
    parts = [text[after:end].strip() for (_, after), end in zip(starts, ends, strict=True)]
    return (parts[:-1] if reply.truncated else parts)[:most]


def open_key(name: str) -> str:
    """A key of the training split for a prompt that is not a problem, because records of other splits are dropped."""
    names = (f"{name} {i}" for i in itertools.count())
    return next(name for name in names if split_of(name) == "train")
