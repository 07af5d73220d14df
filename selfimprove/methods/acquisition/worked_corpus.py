"""Documents that the task makes, worked solutions of its training problems, with planted damage for filters to find.

Idea: whether a filter for documents works shows only where it is known which ones are bad.
Survey: static curation, section 2.2.
Paper: none; a bench of this project.
Algorithm:
  1. Draw training problems whose worked solution the task's own rule marks right. A document is `form`, filled in with
     problem and solution.
  2. Of `documents`, a share each is spoiled: `copies` repeat an earlier document up to a last mark, `wrong` ones have
     the solution of another problem, `shuffled` ones have their characters mixed, `boilerplate` ones are one and the
     same notice.
  3. `info["planted"]` says which; no stage reads it. The selection step reports what became of each kind.
Differs: nothing to compare with.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.errors import DataError, RecipeError
from selfimprove.interfaces import Acquisition, Context
from selfimprove.records import Document, Prompt, Record
from selfimprove.registry import register
from selfimprove.text import quoted

_NOTICE = "accept all cookies to go on; share this page; subscribe now"


@register("worked_corpus")
@dataclass
class WorkedCorpus(Acquisition):
    consumes: ClassVar[Any] = None
    produces: ClassVar[Any] = Document
    documents: int = bounded(1000, 1)
    """Documents of a round."""
    form: str = "{problem}\n{solution}"
    """What a document says: {problem}, {solution}, and {key}, the task's short form of the problem."""
    copies: float = bounded(0.0, 0, 1)
    """Share of near copies of other documents."""
    wrong: float = bounded(0.0, 0, 1)
    """Share with the solution of another problem."""
    shuffled: float = bounded(0.0, 0, 1)
    """Share with mixed characters."""
    boilerplate: float = bounded(0.0, 0, 1)
    """Share of equal notices."""

    def __post_init__(self) -> None:
        if self.copies + self.wrong + self.shuffled + self.boilerplate > 1:
            raise RecipeError(
                "acquisition.worked_corpus: copies, wrong, shuffled and boilerplate add up to more than 1"
            )

    def gives(self, given: Given) -> Flow:
        return Flow(self.documents, self.documents)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        right = self._right(context)
        if len(right) < 2:
            raise DataError("acquisition.worked_corpus: the task has no worked solutions; use acquisition=corpus")
        random, made = Random(context.seed), list[Document]()
        for kind in self._kinds(random):
            problem, solution = right[len(made) % len(right)]
            text = self._filled(problem, solution)
            if kind == "copies" and made:
                text = f"{random.choice(made).text}."
            elif kind == "wrong":
                others = (random.choice(right)[1] for _ in range(100))
                text = self._filled(problem, next((one for one in others if context.verify(problem, one) != 1.0), ""))
            elif kind == "shuffled":
                text = "".join(random.sample(text, len(text)))
            elif kind == "boilerplate":
                text = _NOTICE
            made.append(Document(text=text, parents=(problem.id,), info={"planted": kind} if kind else {}))
        for kind, count in Counter(one.info.get("planted", "sound") for one in made).items():
            context.log.metric(f"worked_corpus/{kind}", count)
        return made

    def _kinds(self, random: Random) -> list[str]:
        """What each document is, in a random order: "" or how it is spoiled."""
        kinds = list[str]()
        for name in ("copies", "wrong", "shuffled", "boilerplate"):
            kinds += [name] * round(vars(self)[name] * self.documents)
        kinds = kinds[: self.documents] + [""] * (self.documents - len(kinds))
        random.shuffle(kinds)
        return kinds

    def _right(self, context: Context) -> list[tuple[Prompt, str]]:
        """Problems with a right worked solution; more are drawn until there are enough, or no more."""
        found, number = dict[str, tuple[Prompt, str]](), self.documents
        while len(found) < self.documents and number <= 16 * self.documents:
            problems = context.problems(number, context.round)
            worked = ((problem, context.roles.solution(problem)) for problem in problems)
            found = {p.key: (p, s) for p, s in worked if s and context.verify(p, s) == 1.0}
            if len(problems) < number:
                break
            number *= 2
        return list(found.values())[: self.documents]

    def _filled(self, problem: Prompt, solution: str) -> str:
        parts = {"{problem}": quoted(problem.prompt), "{key}": problem.key, "{solution}": solution}
        return re.sub("|".join(parts), lambda found: parts[found[0]], self.form)
