"""Documents with calls of a calculator in them, where a call makes what follows likelier.

Idea: whether a tool helps at a place in a text can be measured without anybody's labels: by how much its result raises
  the likelihood of the words that come next. So a model can annotate texts itself, and keep what helps it.
Survey: environment interaction, tools, section 2.3.
Paper: arXiv:2302.04761 (Toolformer), Schick et al., 2023.
Algorithm:
  1. Places: of `tried` places between words those where a call is likelier than `start` to begin, at most `places`. At
     each draw `calls` calls. With `propose: expressions` the places are those behind `=`, and the call is what is left
     of it.
  2. Work out each call; one without a value is dropped.
  3. L(z) is the loss of the next tokens if z stands before the text: the sum of w_t times -log p of token t, with w_t
     in proportion to max(0, 1 - 0.2 t). L+ is L(call with result), L- the smaller of L(nothing) and L(call without).
  4. Keep a call if L- - L+ is at least `gain`; of the calls at one place the best. Insert them into the document as
     [Calculator(3+5) -> 8].
  5. Return the documents that got a call; with `keep` the others too.
Differs: the paper samples calls after a prompt with examples, ours is in words; it has four more tools. Our expressions
  are a rule for texts that hold sums, as its choice of texts for the calculator is one. As in the paper z stands before
  the text and not at its place, because the model has seen no calls yet. Nothing here calls the tool while a trained
  model writes; refinement=react does that in its own form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import NOTHING, Cost, Flow, Given, count
from selfimprove.errors import RecipeError
from selfimprove.inference import rewrites
from selfimprove.interfaces import Acquisition, Context, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.problems.calculator import Calculator
from selfimprove.records import Document, Prompt, Record, Rollout
from selfimprove.registry import register

BEGIN, WEIGHTS = "[Calculator(", tuple((1 - 0.2 * t) / 3 for t in range(5))
"""How a call begins; the weights of the next tokens, which add up to 1."""
_WORDS = (
    "Copy the text below, and put calls of a calculator where they help to write what comes next, in the form "
    "[Calculator(400/1400)].\n\n{document}"
)
_SUM = re.compile(r"(\d+(?: ?[-+*/] ?\d+)+) ?= ?(?=\d)")
_WORD = re.compile(r"(?<=\s)(?=\S)")
_AHEAD = 64
"""Characters of a text that are scored after a place; the weights cover five tokens of them."""


@register("toolformer", paper="2302.04761")
@dataclass
class Toolformer(Acquisition):
    consumes: ClassVar[Any] = Document
    produces: ClassVar[Any] = Document
    propose: str = "samples"
    """Where calls come from: `samples` of the model, or `expressions` left of = in the text."""
    gain: float = bounded(1.0, 0)
    """Least fall of the loss at which a call is kept, in nats."""
    start: float = bounded(0.05, 0, 1)
    """Least probability of a call at a place."""
    tried: int = bounded(20, 1)
    """Places of a document that are looked at, spread evenly."""
    places: int = bounded(5, 1)
    """Places of a document at which calls are drawn, or most expressions of it."""
    calls: int = bounded(5, 1)
    """Calls drawn at a place."""
    words: str | None = None
    """The prompt before a text in which calls are drawn, with {document} in it; null uses our own."""
    keep: bool = False
    """Return documents without a call as well."""

    def __post_init__(self) -> None:
        rewrites.check(self.words, "acquisition.toolformer")
        if self.propose not in ("samples", "expressions"):
            raise RecipeError(f"acquisition.toolformer.propose={self.propose} is none of samples, expressions")

    def needs(self) -> Needs:
        sampled = self.propose == "samples"
        return Needs(statistics=("logprob",), engine=("stop",) if sampled else ())

    def cost(self, given: Given) -> Cost:
        documents, sampled = given.flow.records, self.propose == "samples"
        tried = documents * self.places * (self.calls if sampled else 1)
        drawn = given.draw(tried) if sampled else NOTHING
        return drawn + Cost(scored=3 * tried + documents * self.tried * sampled, calls=tried)

    def gives(self, given: Given) -> Flow:
        return given.flow

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        found = context.run(self._called, records)
        gains = [gain for calls in found for _, _, gain in calls]
        good = [[call for call in calls if call[2] >= self.gain] for calls in found]
        made = [inserted(one, calls) for one, calls in zip(records, good, strict=True) if calls or self.keep]
        context.log.metric("toolformer/calls", len(gains))
        context.log.metric("toolformer/kept", sum(map(len, good)))
        context.log.metric("toolformer/gain", sum(gains) / max(1, len(gains)))
        return made

    async def _called(self, document: Document, session: Session) -> list[tuple[int, str, float]]:
        """For each place with a call the best one: (place, call with result, how much the loss falls)."""
        text, best = document.text, dict[int, tuple[str, float]]()
        for place, asked in await self._proposed(document, session):
            try:
                result = Calculator().call(asked)
            except ValueError:
                continue
            count(Cost(calls=1))
            call = f"{BEGIN}{asked})"
            whole, half, bare = await self._losses(text, place, [f"{call} -> {result}]", f"{call}]", ""], session)
            gain = min(half, bare) - whole
            if place not in best or gain > best[place][1]:
                best[place] = f"{call} -> {result}]", gain
        return [(place, call, gain) for place, (call, gain) in sorted(best.items())]

    async def _proposed(self, document: Document, session: Session) -> list[tuple[int, str]]:
        """Places of a text with what a call there asks."""
        text = document.text
        if self.propose == "expressions":
            return [(one.end(), one[1].replace(" ", "")) for one in _SUM.finditer(text)][: self.places]
        words = (self.words or _WORDS).replace("{document}", text)
        spots = [one.start() for one in _WORD.finditer(text)]
        spots = spots[:: max(1, -(-len(spots) // self.tried))]
        shown = {spot: _prefilled(words, text[:spot] + BEGIN) for spot in spots}
        before = [_row(_prefilled(words, text[:spot]), BEGIN) for spot in spots]
        scores = await session.logprobs_of(before) if before else []
        likely = {spot: sum(row) for spot, row in zip(spots, scores, strict=True) if row}
        chosen = [spot for spot in likely if likely[spot] > _log(self.start)]
        chosen = sorted(chosen, key=lambda spot: (-likely[spot], spot))[: self.places]
        made = list[tuple[int, str]]()
        for spot in chosen:
            sampling = Sampling(stop=(")",), max_completion_length=32)
            replies = await session.draw(shown[spot], self.calls, sampling)
            asked = [one.text.partition(")")[0].strip() for one in replies if ")" in one.text]
            made += [(spot, one) for one in dict.fromkeys(asked) if one]
        return made

    async def _losses(self, text: str, place: int, leads: Sequence[str], session: Session) -> list[float]:
        """The weighted loss of what follows a place, with each lead before the text."""
        ahead = text[place : place + _AHEAD]
        rows = await session.logprobs_of([_row(_prefilled("", lead + text[:place]), ahead) for lead in leads])
        return [-sum(weight * one for weight, one in zip(WEIGHTS, row, strict=False)) for row in rows]


def inserted(document: Document, calls: Sequence[tuple[int, str, float]]) -> Document:
    """The document with the calls at their places; itself if there are none."""
    if not calls:
        return document
    text = document.text
    for place, call, _ in sorted(calls, reverse=True):
        text = f"{text[:place]}{call} {text[place:]}"
    return Document(text=text, parents=(document.id,), info={"role": "write", "calls": len(calls)})


def _prefilled(asked: str, begun: str) -> Prompt:
    return Prompt(prompt=[{"role": "user", "content": asked}, {"role": "assistant", "content": begun}])


def _row(prompt: Prompt, text: str) -> Rollout:
    """A text after a prompt, whose end is not its own."""
    said = [{"role": "assistant", "content": text}]
    return Rollout(prompt=prompt, completion=said, info={"finish_reason": "length"})  # pyright: ignore[reportArgumentType]


def _log(share: float) -> float:
    import math

    return math.log(share) if share > 0 else -math.inf
