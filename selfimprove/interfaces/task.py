"""Problems in splits, the rule that marks an answer, and the words for each role."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from selfimprove.episodes import Episode, Question, Tool
from selfimprove.errors import DataError, RecipeError
from selfimprove.records import (
    Message,
    Prompt,
    Rollout,
)


class Roles(Protocol):
    """The task's prompts for each role, and how it reads the model's replies.

    A task that lacks a role raises RecipeError.
    """

    def solve(self, problem: str) -> list[Message]: ...
    def hint(self, prompt: Prompt, answer: str) -> list[Message]: ...
    def propose(self, level: int | None) -> list[Message]: ...
    def judge(self, prompt: Prompt, attempt: str) -> list[Message]: ...
    def refine(self, prompt: Prompt, attempt: str) -> list[Message]: ...

    def words(self, role: str, prompt: Prompt, parts: Sequence[str]) -> list[Message] | None:
        """The task's prompt for any further role, such as `plan` or `critique`; None if it has none of its own.

        A method then takes its own text, see `Session.words`, which also has the parts that each role gets.
        """

    def read_judgement(self, text: str) -> float | None:
        """The judgement in a reply to `judge`, in [0, 1]; None if it is unreadable."""

    def read_proposal(self, text: str) -> Prompt | None:
        """The problem in a reply to `propose`, with its answer if the task can compute it; None if it states none."""

    def solution(self, prompt: Prompt) -> str | None:
        """A worked solution of a problem from the data or the worked examples; None if there is none."""


@dataclass
class Task(ABC):
    """Problems in splits, the rule that marks an answer, and the words for each role."""

    @abstractmethod
    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        """n problems of a split. A generator draws new ones for each seed; a finite set gives part i of k."""

    marking: ClassVar[int | None] = None
    """Version of the rule that reads answers in text: a run goes on only under the one that it began with. None for a
    task that marks by a rule of its own, which stays."""
    unbounded: ClassVar[int] = 1500
    """Problems that `problems(split, None, ...)` gives where the task makes as many as are asked for."""

    def size(self, split: str) -> int | None:
        """How many problems a split has, found without a network; None: as many as are asked for, or nobody knows."""
        return None

    def published(self) -> str:
        """The data set whose size comes from a table, because nothing is loaded before a run; "" if none does."""
        return ""

    def notes(self) -> list[str]:
        """What reading the data left out or changed, for the user; nothing until it is read."""
        return []

    def overlap_left_out(self) -> bool:
        """Whether records with twelve words in a row of a held-out problem are left out of training.

        Never where problems are made from templates, because their wording repeats.
        """
        return False

    @abstractmethod
    def verify(self, prompt: Prompt, text: str) -> float | None:
        """The mark of a completion, in [0, 1]; None if the reference answer itself cannot be read.

        Args:
            text: a `records.Cut` if the completion was cut off at the length limit.
        """

    @abstractmethod
    def answer_of(self, text: str) -> str | None:
        """The final answer in a completion in a normal form, or None. Votes compare it: equal answers are equal texts.

        Args:
            text: a `records.Cut` if the completion was cut off at the length limit.
        """

    @abstractmethod
    def roles(self) -> Roles:
        """The prompts of each role."""

    def problem_of(self, row: Mapping[str, Any]) -> Prompt:
        """The problem of a row for `selfimprove mark`: what `verify` needs, without the task's own data.

        Raises:
            DataError: a column is missing, or cannot be read.
        """
        return problem_of(row)

    def reading(self, prompt: Prompt, text: str) -> tuple[str | None, str]:
        """What the rule reads in a completion, and what else tells why it gives its mark; "" if nothing does."""
        return self.answer_of(text), ""

    def open(self, problem: Prompt) -> Episode:
        """The episode of a problem; by default it asks once and marks the reply."""
        return Question(problem, self.verify)

    def replies(self) -> int:
        """The most times that the model speaks in the world of a problem."""
        return 1

    def tools(self, problem: Prompt) -> Mapping[str, Tool]:
        """Tools that a method may call while it answers, by name; made from public facts only, see `Prompt.given`."""
        return {}

    def offers(self) -> Collection[str]:
        """The names of the tools that its problems have; a method that needs another one is refused before a run."""
        return self.tools(Prompt(prompt=[{"role": "user", "content": ""}], key="")).keys()

    def probes(self) -> dict[str, Task]:
        """Tasks besides the trained one, by name: `probe/...` are abilities to keep, `ood/...` are never trained."""
        return {}

    def variants(self, prompt: Prompt, kind: str, n: int, seed: int) -> list[Prompt]:
        """Up to n other forms of a problem in the same split; none if the task cannot make any.

        Args:
            kind: `same` keeps key and answer, `counterfactual` changes the problem so that the answer changes.
        """
        return []

    def preflight(self) -> list[str]:
        """Read what the options name, before a run; returns notes for the user.

        Raises:
            UserError: it cannot be used.
        """
        return []

    def demonstrations(self, role: str, n: int, seed: int) -> list[Rollout]:
        """n worked examples of a role, easy ones first, for tasks that the tiny model can be bootstrapped on."""
        raise RecipeError(
            "the task has no worked examples to bootstrap the tiny model on; use model=pretrained "
            "model.pretrained.path=DIR, or a task that has, such as task=chain_sums"
        )


def problem_of(row: Mapping[str, Any]) -> Prompt:
    """The problem of a row with a `reference`, and what else a task's rule may read: `prompt`, `key` and `info`.

    Raises:
        DataError: a column is missing, or cannot be read.
    """
    if "reference" not in row:
        raise DataError("no column 'reference'")
    answer, key, info = row["reference"], row.get("key", ""), row.get("info", {})
    if isinstance(answer, list | dict) or not isinstance(key, str) or not isinstance(info, dict):
        raise DataError("'reference' must be a text or a number, 'key' a text and 'info' an object")
    answer = answer if answer is None or isinstance(answer, str) else json.dumps(answer)
    return Prompt(prompt=[{"role": "user", "content": str(row.get("prompt", ""))}], answer=answer, key=key, info=info)
