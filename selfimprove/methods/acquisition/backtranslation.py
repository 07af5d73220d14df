"""Problems for given answers: the model writes what a text could be the answer to, and judges which pairs are good.

Idea: good answers are everywhere, and questions that fit them are not. A model that learned to write a question from an
  answer makes training pairs of any text, and as a judge it tells the good ones from the others.
Survey: transformation-based generation, section 2.4.2.
Paper: arXiv:2308.06259 (Humpback), Li et al., 2023.
Algorithm:
  1. Self-augmentation. A copy of the weights learns on `seeds` worked examples to write the problem from its solution,
     for `max_steps` steps (0: the weights as they are); it then writes a problem for each document, in `words`.
  2. The reply is the problem; with `as_proposal` the task reads it as one that it was proposed.
  3. Self-curation. The model judges each pair `ratings` times; the mean is the reward. The task's own words for a judge
     are taken if it has any, else a five-point scale in words.
  4. Return the pairs; a selection such as `threshold` keeps the best. The next round's weights, trained on these, judge
     the next ones, as in the paper's two iterations.
Differs: the paper trains the backward model on 3,200 seed pairs, takes only the top score, and marks seed and augmented
  data by different system prompts, which is left out here. A problem of a held-out split is dropped. The task's mark of
  the pairs is reported where it can work out the answer (`backtranslation/right`), and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import NOTHING, Cost, Flow, Given
from selfimprove.inference import rewrites
from selfimprove.interfaces import Acquisition, Context, Sampling, Session
from selfimprove.measures.ridge import auroc
from selfimprove.needs import Needs
from selfimprove.problems.splits import split_of
from selfimprove.records import Document, Prompt, Record, Rollout
from selfimprove.registry import register
from selfimprove.text import beside, grade, quoted
from selfimprove.training import Schedule

_HIGHEST = 5


@register("backtranslation", paper="2308.06259")
@dataclass
class Backtranslation(Acquisition):
    consumes: ClassVar[Any] = Document
    produces: ClassVar[Any] = Rollout
    words: str | None = None
    """The prompt of the backward model, with {document} in it; null uses the text beside this file."""
    as_proposal: bool = False
    """The backward model writes problems in the form of the role propose, which the task reads; else in plain text."""
    seeds: int = bounded(0, 0)
    """Training problems with a right worked solution that the backward model learns from; 0 trains none."""
    max_steps: int = bounded(100, 1)
    """Optimizer steps of the backward model."""
    learning_rate: float = bounded(1e-5, 0, 100)
    """Learning rate of the backward model."""
    ratings: int = bounded(1, 1)
    """Judgements of each pair."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of the problems; judgements are drawn at 1, a single one greedily."""

    def __post_init__(self) -> None:
        rewrites.check(self.words, "acquisition.backtranslation")

    def needs(self) -> Needs:
        return Needs(roles=("judge",), engine=("copies",) if self.seeds else ())

    def cost(self, given: Given) -> Cost:
        copy = Cost(copies=1, steps=self.max_steps) if self.seeds else NOTHING
        return given.draw(given.flow.records * (1 + self.ratings)) + copy

    def gives(self, given: Given) -> Flow:
        return Flow(given.flow.records, given.flow.records)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        words = self.words or beside(__name__, "backtranslation.txt")
        asked = [rewrites.asked(one, words) for one in records]
        with self._backward(words, context) as writer:
            replies = [reply for [reply] in writer.sample(asked, 1, Sampling(temperature=self.temperature))]
        read = [self._problem(reply, context) for reply in replies]
        pairs = [
            Rollout(
                prompt=problem,
                completion=[{"role": "assistant", "content": document.text}],
                parents=(document.id,),
                info={"planted": document.info["planted"]} if "planted" in document.info else {},
            )
            for document, problem in zip(records, read, strict=True)
            if problem and split_of(problem.key) == "train"
        ]
        context.log.metric("backtranslation/read", sum(one is not None for one in read) / max(1, len(read)))
        rated = context.run(self._rated, pairs)
        made = [replace(pair, reward=mark, rated=True) for pair, mark in zip(pairs, rated, strict=True)]
        self._report(made, context)
        blind = {one.id: replace(one.prompt, answer=None) for one in made}
        return [replace(one, prompt=blind[one.id]) for one in made]

    def _backward(self, words: str, context: Context) -> Any:
        """The policy that writes problems: a copy that learned it, for as long as it is used."""
        if not self.seeds:
            return nullcontext(context.policy)
        worked = [(one, context.roles.solution(one)) for one in context.problems(self.seeds, context.round)]
        rows = [
            Rollout(
                prompt=rewrites.asked(Document(text=text), words),
                completion=[{"role": "assistant", "content": self._said(problem)}],
            )
            for problem, text in worked
            if text and context.verify(problem, text) == 1.0
        ]
        if not rows:
            context.log.note("backtranslation: the task has no worked solutions, so the backward model is not trained")
            return nullcontext(context.policy)
        schedule = Schedule(
            learning_rate=self.learning_rate,
            max_steps=self.max_steps,
            per_device_train_batch_size=min(32, len(rows)),
            seed=context.seed,
        )
        return context.policy.adapted(rows, schedule)

    def _said(self, problem: Prompt) -> str:
        """How the backward model writes a problem."""
        return problem.key if self.as_proposal else quoted(problem.prompt)

    def _problem(self, reply: Rollout, context: Context) -> Prompt | None:
        """The problem in a reply; None if there is none."""
        text = rewrites.bare(reply.text)
        if reply.truncated or not text:
            return None
        if self.as_proposal:
            return context.roles.read_proposal(text)
        return Prompt(prompt=[{"role": "user", "content": text}], key=rewrites.open_key(text))

    async def _rated(self, pair: Rollout, session: Session) -> float | None:
        """The mean judgement of a pair, in [0, 1]; None if none can be read."""
        words = beside(__name__, "backtranslation_judge.txt")
        prompt = session.words("judge", pair.prompt, pair.text, otherwise=words)
        sampling = Sampling(temperature=1.0 if self.ratings > 1 else 0.0)
        found = list[float]()
        for reply in await session.draw(prompt, self.ratings, sampling, role="judge"):
            said = grade(reply.text, 1, _HIGHEST)
            mark = (said - 1) / (_HIGHEST - 1) if said is not None else session.judgement(reply.text)
            found += [] if mark is None else [mark]
        return sum(found) / len(found) if found else None

    def _report(self, made: Sequence[Rollout], context: Context) -> None:
        """What share of the pairs is right by the task, and how well the ratings tell which."""
        known = [(one.reward or 0.0, context.verify(one.prompt, one.text)) for one in made if one.prompt.answer]
        good = [rating for rating, mark in known if mark == 1.0]
        bad = [rating for rating, mark in known if mark == 0.0]
        context.log.metric("backtranslation/unrated", sum(one.reward is None for one in made))
        if good or bad:
            context.log.metric("backtranslation/right", len(good) / (len(good) + len(bad)))
        if good and bad:
            context.log.metric("backtranslation/auroc", auroc(bad, good))
