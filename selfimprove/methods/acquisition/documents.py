"""The model writes problems from documents and answers them without; the documents, not the model, give the answers.

Idea: a model that invents both problem and answer learns what it already believes. A writer that sees a document knows
  more than a solver that does not, so the answers add information from outside.
Survey: interaction-based generation, section 2.4.3; synthesis from documents, section 2.4.1.
Paper: arXiv:2510.24684 (SPICE), Liu et al., 2025.
Algorithm:
  1. Documents are the records of `path`: a table with a `text` column, or a text file split at empty lines.
     Without a path they are worked solutions of training problems that the task's own rule marks right.
  2. Show one in `words` and draw a reply: a problem, and its answer after the last ####. Without such a line the answer
     is the final answer of the document. A reply without a problem or an answer is invalid; a held-out problem is
     dropped.
  3. Draw `samples` answers to each problem, without the document, and reward them by the recipe's reward against that
     answer.
  4. The writer's reward is exp(-(p (1 - p) - 1/4)^2 / (2 * 0.01)) for the mean reward p; `invalid` for invalid replies.
  5. Return the answers, the writer's replies with the prompt that shows the document, or both, depending on `train`.
Differs: the paper trains both roles with Dr. GRPO, each centred in its own groups; here the records go to any
  optimization. We did not find the width of the bell curve or the reward of invalid replies published; they are our
  choice. The paper also writes multiple-choice questions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import DataError, RecipeError
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.problems.corpus import Corpus
from selfimprove.problems.room import Room
from selfimprove.problems.splits import split_of
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register
from selfimprove.text import beside

WIDTH = 0.01
"""The variance of the bell curve over the variance of the rewards."""


@register("documents", paper="2510.24684")
@dataclass
class Documents(Acquisition):
    consumes: ClassVar[Any] = None
    produces: ClassVar[Any] = Rollout
    path: str | None = None
    """File with documents: .jsonl, .csv, .parquet, ... with a column `text`, or a text; null uses worked solutions."""
    problems: int = bounded(500, 1)
    """Documents per round, with one reply to each."""
    samples: int = bounded(8, 2)
    """Answers drawn to each problem."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of both roles."""
    words: str | None = None
    """The writer's prompt, with {document} in it; null uses the text beside this file."""
    train: str = "both"
    """Whose records to return: `solver`, `writer` or `both`."""
    invalid: float = -0.1
    """Reward of a reply that states no problem with an answer."""

    def __post_init__(self) -> None:
        if self.train not in ("solver", "writer", "both"):
            raise RecipeError(f"acquisition.documents.train is {self.train!r}; it must be solver, writer or both")
        if "{document}" not in (self.words or "{document}"):
            raise RecipeError("acquisition.documents needs words with {document}")

    def cost(self, given: Given) -> Cost:
        shown = self._shown(given)
        solved = Flow(shown * self.samples, shown, self.samples)
        return given.draw(shown + solved.records) + given.rate(solved)

    def gives(self, given: Given) -> Flow:
        shown = self._shown(given)
        solved, written = self.train != "writer", self.train != "solver"
        return Flow(shown * (self.samples * solved + written), shown * (solved + written), self.samples)

    def _shown(self, given: Given) -> int:
        return given.problems(self.problems) if self.path is None else self.problems

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        words = self.words or beside(__name__, "documents.txt")
        texts = self._texts(context)
        shown = [
            Prompt(
                prompt=[{"role": "user", "content": words.replace("{document}", text)}],
                key=_open_key(text),
                info={"role": "write"},
            )
            for text in texts
        ]
        sampling = Sampling(temperature=self.temperature)
        replies = [reply for [reply] in context.policy.sample(shown, 1, sampling)]
        stated = [self._read(reply, text, context) for reply, text in zip(replies, texts, strict=True)]
        open_ = [(r, p) for r, p in zip(replies, stated, strict=True) if p is None or split_of(p.key) == "train"]
        problems = list({problem.id: problem for _, problem in open_ if problem}.values())
        drawn = [answer for group in context.policy.sample(problems, self.samples, sampling) for answer in group]
        scored = context.reward(drawn)
        rates: dict[str, float | None] = {}
        for i, problem in enumerate(problems):
            marks = [r.reward for r in scored[i * self.samples : (i + 1) * self.samples] if r.reward is not None]
            rates[problem.id] = sum(marks) / len(marks) if marks else None
        written = [replace(reply, reward=self._worth(problem, rates), rated=True) for reply, problem in open_]
        known = [rate for rate in rates.values() if rate is not None]
        for name, number in (
            ("valid", sum(problem is not None for problem in stated) / max(1, len(stated))),
            ("held_out", len(stated) - len(open_)),
            ("solved", sum(known) / max(1, len(known))),
        ):
            context.log.metric(f"documents/{name}", number)
        solver = scored if self.train != "writer" else []
        return [*solver, *(written if self.train != "solver" else [])]

    def _worth(self, problem: Prompt | None, rates: dict[str, float | None]) -> float | None:
        """The reward of a reply; None if the answers to its problem have none."""
        if problem is None:
            return self.invalid
        p = rates[problem.id]
        return None if p is None else math.exp(-((p * (1 - p) - 0.25) ** 2) / (2 * WIDTH))

    def _read(self, reply: Rollout, document: str, context: Context) -> Prompt | None:
        """The problem that a reply states, with the answer from the reply or the document; None if it is invalid."""
        text, mark, answer = reply.text.rpartition("####")
        said = answer.strip() if mark else context.answer_of(document)
        problem = None if reply.truncated else context.roles.read_proposal((text if mark else reply.text).strip())
        if problem is None or not said:
            return None
        return replace(problem, answer=said, source=f"documents@{context.round}", parents=(reply.prompt.id,))

    def _texts(self, context: Context) -> list[str]:
        """The documents of this round."""
        if self.path is None:
            problems = context.problems(self.problems, context.round)
            worked = [(problem, context.roles.solution(problem)) for problem in problems]
            texts = [text for problem, text in worked if text and context.verify(problem, text) == 1.0]
            if problems and not texts:
                raise DataError("acquisition.documents: the task has no worked solutions; name a file in path")
            return texts
        documents, blank = _load(self.path)
        if blank:
            context.log.note(f"{self.path}: {blank} rows have no text and were left out")
        return Random(context.seed).choices(documents, k=self.problems)


def _load(path: str) -> tuple[list[str], int]:
    """The documents of a file, and how many of its rows are blank."""
    corpus, documents, room = Corpus("acquisition.documents", path), list[str](), Room(path)
    for text, _ in corpus:
        room.take(len(text.encode(errors="replace")))
        documents.append(text)
    if documents:
        return documents, corpus.counts["blank"]
    raise DataError(f"{path} contains no document")


def _open_key(text: str) -> str:
    """A key of the training split for a prompt that is not a problem, because records of other splits are dropped."""
    names = (f"document {i} {text}" for i in itertools.count())
    return next(name for name in names if split_of(name) == "train")
