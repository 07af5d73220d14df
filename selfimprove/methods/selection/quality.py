"""Keep the texts that a judge would grade well, as far as a regression on embeddings can tell.

Idea: a large model knows a good text when it sees one, and is too dear to read all of them. A regression on embeddings
  learns its grades from a sample, and grades the rest in a short forward pass each.
Survey: static curation, section 2.2; one-shot scoring, section 3.2.1.
Paper: arXiv:2406.17557 (FineWeb-Edu), Penedo et al., 2024.
Algorithm:
  1. A judge grades `judged` records from 0 to 5 by an additive rubric: a point for each thing that holds. It sees the
     first 1,000 characters.
  2. A ridge regression learns the grade from the engine's embedding of a text; its penalty is the one with the least
     error on records left out.
  3. Keep a record if its grade by the regression, rounded and limited to 0 to 5, is at least `threshold`.
Differs: the paper has 450,000 annotations by Llama 3 70B and a trained encoder; here the judge answers in the role
  judge, which may have an engine of its own, and the embeddings are the policy's. The rubric's words are ours. A grade
  that cannot be read is left out, and `quality/agreement` tells whether the regression learned anything. A regression
  sees what embeddings show: form, subject, damage. It does not find a wrong step in a text that looks like others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.graded_texts import NEEDS, Rubric, grader
from selfimprove.interfaces import Context, Selection
from selfimprove.needs import Needs
from selfimprove.problems.overlap import text_of
from selfimprove.records import Record
from selfimprove.registry import register


@register("quality", paper="2406.17557")
@dataclass
class Quality(Selection):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record
    threshold: int = bounded(3, 0, 5)
    """Least grade of a record that is kept."""
    judged: int = bounded(1000, 8)
    """Records that the judge grades."""
    words: str | None = None
    """The judge's prompt, with {document} in it; null uses an additive rubric in English."""

    def __post_init__(self) -> None:
        Rubric(self.words).check("selection.quality")

    def needs(self) -> Needs:
        return NEEDS

    def cost(self, given: Given) -> Cost:
        return given.draw(min(self.judged, given.flow.records))

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        if not records:
            return []
        texts = [text_of(record) for record in records]
        grades = grader(sorted(texts), Rubric(self.words), self.judged, context, "quality")(texts)
        stay = [place for place, mark in enumerate(grades) if round(float(mark)) >= self.threshold]
        context.log.metric("quality/kept", len(stay) / len(records))
        return [records[place] for place in stay]
