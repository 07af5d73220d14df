"""Documents as conversations: the model writes a dialogue about each, in which the matter is worked out.

Idea: a text that states results teaches little about how one gets there. A conversation between somebody who knows and
  somebody who asks spells out the steps.
Survey: transformation-based generation, section 2.4.2; dialogues, section 2.4.3.
Paper: arXiv:2410.12881 (MIND), Akter et al., 2024.
Algorithm:
  1. For each document draw a conversation about it in one of the `styles`, all equally often.
  2. A conversation has at least `turns` turns, each on a line that begins with a name and a colon, and at least two
     speakers; others, and those shorter than `shortest` of the document, are dropped.
  3. Return documents and conversations; with `keep: false` conversations only.
Differs: the paper has seven styles for mathematics, and its prompts are longer; ours are in our own words. It drops
  short conversations, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.inference import rewrites
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.records import Document, Prompt, Record
from selfimprove.registry import register

STYLES = {
    "students": "two students who work through it together",
    "teacher": "a teacher and a student who asks about every step",
    "professors": "two professors who go into its finer points",
    "debate": "two people who disagree about it, and give reasons",
    "solving": "two people who solve a problem from it step by step",
    "layman": "somebody who knows nothing about it and somebody who knows everything",
    "interview": "an interviewer and an expert",
}
_WORDS = (
    "Write a conversation about the text below between {style}. Use only what the text says or what follows from it, "
    "and work out each step. Begin each turn on a new line with the speaker's name and a colon.\n\n{document}"
)
_TURN = re.compile(r"^\s*\**([A-Z][\w .'-]{0,30}?)\**:", re.MULTILINE)


@register("dialogues", paper="2410.12881")
@dataclass
class Dialogues(Acquisition):
    consumes: ClassVar[Any] = Document
    produces: ClassVar[Any] = Document
    styles: list[str] = field(default_factory=lambda: [*STYLES])
    """Styles: students, teacher, professors, debate, solving, layman, interview."""
    words: str | None = None
    """The prompt, with {document} in it, and {style} where it is to be told; null uses our own."""
    turns: int = bounded(4, 2)
    """Least turns of a conversation."""
    shortest: float = bounded(0.3, 0)
    """Least characters of a conversation, as a share of the document's."""
    keep: bool = True
    """Return the documents too."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature."""

    def __post_init__(self) -> None:
        rewrites.check(self.words, "acquisition.dialogues")
        if not self.styles or not {*self.styles} <= {*STYLES}:
            raise RecipeError(f"acquisition.dialogues.styles are {', '.join(STYLES)}")

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.records)

    def gives(self, given: Given) -> Flow:
        n = given.flow.records * (1 + self.keep)
        return Flow(n, n)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        styles, words = rewrites.styled(records, self.styles, context.seed), self.words or _WORDS
        prompts = [
            rewrites.asked(one, words.replace("{style}", STYLES[style]), style=style)
            for one, style in zip(records, styles, strict=True)
        ]
        bounds, sampling = rewrites.Bounds(self.shortest, float("inf")), Sampling(temperature=self.temperature)
        made = rewrites.written(records, prompts, sampling, bounds, context, "dialogues", self._talk)
        return [*(records if self.keep else []), *made]

    def _talk(self, document: Document, prompt: Prompt, text: str) -> str | None:
        """The conversation, if it is one."""
        said = _TURN.findall(text)
        return text if len(said) >= self.turns and len({*said}) > 1 else None
