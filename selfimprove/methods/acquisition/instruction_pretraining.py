"""Documents followed by questions about them with answers, which the model writes, for language modeling.

Idea: pre-training on raw text teaches tasks only by chance. Each text with some questions that it answers is supervised
  multitask learning at the size of pre-training.
Survey: transformation-based generation, section 2.4.2.
Paper: arXiv:2406.14491 (Instruction Pre-Training), Cheng et al., 2024.
Algorithm:
  1. Draw `pairs` questions with answers about each document: lines that begin with Question: and Answer:.
  2. A reply without a whole pair is dropped; so are pairs that repeat a question, and more than `pairs` of them.
  3. The new document is the text, then its pairs. With `shots` above 1 so many of them follow each other in one
     document, so that later questions have examples before them.
  4. Documents without pairs stay as they are; with `keep: false` they are dropped.
Differs: the paper trains a synthesizer on a mix of reading tasks; here the policy, or an engine for the role, is
  asked in words. It mixes augmented and raw corpora; here every document that got pairs has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference import rewrites
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.records import Document, Prompt, Record
from selfimprove.registry import register

_WORDS = (
    "Write {pairs} questions of different kinds that the text below answers, each with its answer. The questions must "
    "be understood without the text. Begin each on a new line with Question: and its answer on the next with "
    "Answer:\n\n{document}"
)
_HEAD = r"^[\W\d]*{}\**:\**[ \t]*"
_QUESTION, _ANSWER = _HEAD.format("Question"), _HEAD.format("Answer")
_PAIR = re.compile(rf"{_QUESTION}(.+?)\s*{_ANSWER}(.+?)\s*(?={_QUESTION}|\Z)", re.MULTILINE | re.DOTALL | re.IGNORECASE)


@register("instruction_pretraining", paper="2406.14491")
@dataclass
class InstructionPretraining(Acquisition):
    consumes: ClassVar[Any] = Document
    produces: ClassVar[Any] = Document
    pairs: int = bounded(5, 1)
    """Questions with answers for each document."""
    shots: int = bounded(1, 1)
    """Documents with their questions that follow each other in one new document."""
    words: str | None = None
    """The prompt, with {document} in it, and {pairs} for their number; null uses our own."""
    keep: bool = True
    """Return documents for which no pair was written as they are."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""

    def __post_init__(self) -> None:
        rewrites.check(self.words, "acquisition.instruction_pretraining")

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.records)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        words = (self.words or _WORDS).replace("{pairs}", str(self.pairs))
        prompts = [rewrites.asked(one, words) for one in records]
        bounds, sampling = rewrites.Bounds(0.0, float("inf")), Sampling(temperature=self.temperature)
        name = "instruction_pretraining"
        made = rewrites.written(records, prompts, sampling, bounds, context, name, self._augmented)
        count = sum(len(pairs_of(one.text)) for one in made)
        context.log.metric(f"{name}/pairs", count / max(1, len(made)))
        got = {parent for one in made for parent in one.parents}
        return [*(one for one in records if self.keep and one.id not in got), *self._joined(made)]

    def _augmented(self, document: Document, prompt: Prompt, text: str) -> str | None:
        """The document with its pairs; None if there is none."""
        pairs = pairs_of(text)[: self.pairs]
        lines = [f"Question: {question}\nAnswer: {answer}" for question, answer in pairs]
        return "\n\n".join([document.text, *lines]) if lines else None

    def _joined(self, documents: Sequence[Document]) -> list[Document]:
        """`shots` documents at a time as one."""
        groups = [documents[at : at + self.shots] for at in range(0, len(documents), self.shots)]
        return [
            group[0]
            if len(group) == 1
            else Document(
                text="\n\n".join(one.text for one in group),
                parents=tuple(parent for one in group for parent in one.parents),
                info={"role": "write"},
            )
            for group in groups
        ]


def pairs_of(text: str) -> list[tuple[str, str]]:
    """The questions of a reply with their answers; of equal questions the first."""
    found: dict[str, tuple[str, str]] = {}
    for question, answer in _PAIR.findall(text):
        found.setdefault(" ".join(question.lower().split()), (question.strip(), answer.strip()))
    return list(found.values())
