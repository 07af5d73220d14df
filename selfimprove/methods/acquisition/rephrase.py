"""Documents in other words: the model rewrites each in one of several styles, and both are learned.

Idea: texts of the web are noisy and say a thing once, in one way. The same content in a style nearer to how models are
  used, beside the original, teaches more for each token.
Survey: transformation-based generation, section 2.4.2.
Paper: arXiv:2401.16380 (WRAP), Maini et al., 2024.
Algorithm:
  1. Each document is cut at `longest` characters, at the end of a sentence or line if there is one.
  2. Draw a rewrite in one of the `styles`: easy (for a toddler), medium (as an encyclopedia), hard (terse, for
     scholars) or qa (questions and answers). All styles come equally often.
  3. Drop a reply that was cut off, a line before the text that only says what follows, and replies that are too short,
     too long, or, with `numbers`, do not have the numbers of the document.
  4. Return documents and rewrites, one to one; with `keep: false` rewrites only.
Differs: the paper rewrites all documents in a style and mixes real and synthetic tokens evenly; here the mix is of
  documents. Lengths are in characters. The prompts are our own wording, and the test of numbers is ours. The model that
  learns writes itself, unless another engine does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.inference import rewrites
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.records import Document, Record
from selfimprove.registry import register

STYLES = {
    "easy": "in a very small vocabulary and simple sentences that a small child understands",
    "medium": "in clear and plain English of high quality, as an encyclopedia would put it",
    "hard": "in terse and precise language that only a scholar of the subject would use",
    "qa": "as a conversation of questions and answers, each on a line that begins with Question: or Answer:",
}
_WORDS = "Say the same {style}. Keep every fact and every number, and add none. Write only the new text.\n\n{document}"
_END = re.compile(r".*[.!?\n]", re.DOTALL)


@register("rephrase", paper="2401.16380")
@dataclass
class Rephrase(Acquisition):
    consumes: ClassVar[Any] = Document
    produces: ClassVar[Any] = Document
    styles: list[str] = field(default_factory=lambda: ["easy", "medium", "hard", "qa"])
    """Styles of the rewrites: easy, medium, hard, qa."""
    words: str | None = None
    """The prompt, with {document} in it, and {style} where it is to be told; null uses our own."""
    keep: bool = True
    """Return the documents too."""
    longest: int = bounded(1200, 1)
    """Most characters of a document that are rewritten."""
    bounds: list[float] = field(default_factory=lambda: [0.3, 3.0])
    """Least and most characters of a rewrite, as a share of the document's."""
    numbers: bool = False
    """Take only rewrites with the very numbers of the document."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""

    def __post_init__(self) -> None:
        rewrites.check(self.words, "acquisition.rephrase")
        if not self.styles or not {*self.styles} <= {*STYLES}:
            raise RecipeError(f"acquisition.rephrase.styles are {', '.join(STYLES)}")
        if len(self.bounds) != 2:
            raise RecipeError("acquisition.rephrase.bounds are two shares, such as [0.3, 3.0]")

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.records)

    def gives(self, given: Given) -> Flow:
        n = given.flow.records * (1 + self.keep)
        return Flow(n, n)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        parts = [replace(one, text=self._cut(one.text)) for one in records]
        styles = rewrites.styled(parts, self.styles, context.seed)
        words = self.words or _WORDS
        prompts = [
            replace(rewrites.asked(part, words.replace("{style}", STYLES[style]), style=style), parents=(one.id,))
            for one, part, style in zip(records, parts, styles, strict=True)
        ]
        bounds = rewrites.Bounds(self.bounds[0], self.bounds[1], self.numbers)
        sampling = Sampling(temperature=self.temperature)
        made = rewrites.written(parts, prompts, sampling, bounds, context, "rephrase")
        ids = {part.id: one.id for one, part in zip(records, parts, strict=True)}
        made = [replace(one, parents=tuple(ids[parent] for parent in one.parents)) for one in made]
        return [*(records if self.keep else []), *made]

    def _cut(self, text: str) -> str:
        if len(text) <= self.longest:
            return text
        whole = _END.match(text[: self.longest])
        return (whole[0] if whole and len(whole[0]) > self.longest // 2 else text[: self.longest]).rstrip()
