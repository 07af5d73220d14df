"""Texts with a quality: a judge grades a sample, and a regression on the engine's embeddings grades all.

FineWeb-Edu's two steps (arXiv:2406.17557): annotations by a large model with an additive rubric, and a linear head on
frozen embeddings that learns them. One grade of all costs one short forward pass instead of a reply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from selfimprove.errors import DataError, RecipeError
from selfimprove.interfaces import GREEDY, Context
from selfimprove.measures import ridge
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.text import beside, grade

HIGHEST = 5
"""The largest grade; the smallest is 0."""
NEEDS = Needs(roles=("judge",), engine=("embed",))


@dataclass(frozen=True)
class Rubric:
    """How a judge is asked for a grade."""

    words: str | None = None
    """The prompt with {document} in it; null: the text beside this file, an additive rubric of five points."""
    characters: int = 1000
    """Characters that the judge sees of a text."""

    def check(self, option: str) -> None:
        """Whether the prompt has a place for the text.

        Raises:
            RecipeError: it has none.
        """
        if "{document}" not in (self.words or "{document}"):
            raise RecipeError(f"{option} needs words with {{document}}")

    def asked(self, text: str) -> Prompt:
        """The prompt about a text."""
        words = self.words or beside(__name__, "graded_texts.txt")
        return Prompt(prompt=[{"role": "user", "content": words.replace("{document}", text[: self.characters])}])

    def read(self, reply: Rollout, context: Context) -> float | None:
        """The grade in a reply: a last `Score: n`, or the task's own judgement times five; None if there is none."""
        if reply.truncated:
            return None
        said = grade(reply.text, 0, HIGHEST)
        judged = context.roles.read_judgement(reply.text) if said is None else None
        return said if said is not None else None if judged is None else HIGHEST * judged


def grader(
    texts: Sequence[str], rubric: Rubric, sample: int, context: Context, name: str
) -> Callable[[Sequence[str]], Any]:
    """A function from texts to grades, learned from the judge's grades of a sample of these texts.

    What the judge's grades and the regression's have in common is a metric: `NAME/agreement`, the correlation of the
    judge's grade with that of a regression on all others.

    Raises:
        DataError: of fewer than eight texts the grade can be read.
    """
    import numpy as np

    different = list(dict.fromkeys(texts))
    some = Random(context.seed).sample(different, min(sample, len(different)))
    replies = context.policy.sample([rubric.asked(text) for text in some], 1, GREEDY, role="judge")
    read = [(text, rubric.read(reply, context)) for text, [reply] in zip(some, replies, strict=True)]
    graded = [(text, mark) for text, mark in read if mark is not None]
    context.log.metric(f"{name}/judged", len(some))
    context.log.metric(f"{name}/unreadable", len(some) - len(graded))
    if len(graded) < 8:
        raise DataError(
            f"{name}: of {len(some)} texts the judge gives {len(graded)} a grade that can be read, and a regression "
            "takes 8; look at its replies, set words for this model, or give the role judge to another engine"
        )
    marks = np.array([mark for _, mark in graded])
    fitted = ridge.fit(context.policy.embed([text for text, _ in graded]), marks)
    spread = float(marks.std() * fitted.left_out.std())
    agreement = (
        float(((marks - marks.mean()) * (fitted.left_out - fitted.left_out.mean())).mean()) / spread if spread else 0
    )
    context.log.metric(f"{name}/grade", float(marks.mean()))
    context.log.metric(f"{name}/agreement", agreement if math.isfinite(agreement) else 0.0)
    if not marks.std():
        context.log.note(
            f"{name}: the judge gives every text the grade {marks[0]:g}, so nothing can be learned from it"
        )

    def graded_all(more: Sequence[str]) -> Any:
        made = fitted.predict(context.policy.embed(list(more))) if more else np.zeros(0)
        return np.clip(made, 0, HIGHEST)

    return graded_all
