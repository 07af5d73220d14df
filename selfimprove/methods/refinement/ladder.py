"""Before each problem, the model writes easier variants of it, solves them by vote, and a copy learns the sure ones.

Idea: a problem that a model cannot solve may have variants that it can; what it learns from these, from the easiest on,
  carries over to the problem.
Survey: test-time training, section 5.5.
Paper: arXiv:2503.00735 (LADDER), Simonds and Yoshiyama, 2025.
Algorithm:
  1. Draw `variants` easier variants of the problem in the role easier, with temperatures that go around a list.
     Variants of these in turn, up to `depth` levels.
  2. Draw `votes` completions of each variant. Keep one of the majority answer if its share of the votes is `sure` or
     more: this is the check, because nobody gives an answer. With `verify: judge` the judge must also find it right.
  3. Train a copy on these, the deepest level first and at each level those with the largest share, `epochs` times.
  4. Draw a greedy answer to the problem from the copy, then remove it. Without any row the model itself answers.
Differs: the paper verifies numeric answers, trains by GRPO, and does this in training too. A majority can be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.easier import ROLE, easier
from selfimprove.interfaces import GREEDY, Refinement, Sampling, Session
from selfimprove.measures.votes import agreement, plurality
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout, changed
from selfimprove.registry import nearest, register
from selfimprove.training import Schedule

CHECKS = ("votes", "judge")


@register("ladder", paper="2503.00735")
@dataclass
class Ladder(Refinement):
    variants: int = bounded(4, 1)
    """Variants of each problem."""
    depth: int = bounded(1, 1, 3)
    """Levels of variants."""
    votes: int = bounded(4, 1)
    """Completions of each variant."""
    sure: float = bounded(0.75, 0, 1)
    """Smallest share of the votes of an answer to learn."""
    verify: str = "votes"
    """What checks a variant's answer: its `votes`, or the `judge` as well."""
    temperature: float = bounded(0.7, above=0, high=100)
    """Sampling temperature of the votes."""
    epochs: int = bounded(2, 1)
    """Passes over the rows, of one step each."""
    learning_rate: float = bounded(1e-5, 0, 100)
    """Learning rate of the copy."""

    def __post_init__(self) -> None:
        if self.verify not in CHECKS:
            raise RecipeError(f"refinement.ladder.verify cannot be {self.verify!r}.{nearest(self.verify, CHECKS)}")

    def needs(self) -> Needs:
        return Needs(roles=(ROLE, *(("judge",) if self.verify == "judge" else ())), engine=("copies",))

    def cost(self, given: Given) -> Cost:
        problems = sum(self.variants**level for level in range(1, self.depth + 1))
        drawn = given.draw(problems * (1 + self.votes + (self.verify == "judge")))
        return max(given.attempt, given.draw()) + drawn + Cost(copies=1, steps=self.epochs * problems)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        levels, parents = list[list[Prompt]](), [prompt]
        for _ in range(self.depth):
            made = await session.all([self._easier(one, session) for one in parents])
            parents = [one for some in made for one in some]
            levels.append(parents)
        rows = list[Rollout]()
        for level in levels[::-1]:
            found = await session.all([self._solved(one, session) for one in level])
            some = [pair for pair in found if pair is not None]
            rows += [row for _, row in sorted(some, key=lambda pair: -pair[0])]
        if not rows:
            return (await session.attempts(prompt, 1, GREEDY))[0]
        schedule = Schedule(
            learning_rate=self.learning_rate,
            max_steps=self.epochs * len(rows),
            per_device_train_batch_size=1,
            lr_scheduler_type="constant",
            train_sampling_strategy="sequential",
        )
        async with session.adapted(rows, schedule) as copy:
            return (await session.draw(prompt, 1, GREEDY, of=copy))[0]

    async def _easier(self, prompt: Prompt, session: Session) -> list[Prompt]:
        """Different variants of a problem; blank replies and the problem itself are left out."""
        made = list[Prompt]()
        for reply in await easier(prompt, self.variants, session):
            text = reply.text.strip()
            variant = changed(prompt, prompt=[*prompt.prompt[:-1], {"role": "user", "content": text}], key="", given={})
            if text and variant.prompt not in [one.prompt for one in (prompt, *made)]:
                made.append(variant)
        return made

    async def _solved(self, prompt: Prompt, session: Session) -> tuple[float, Rollout] | None:
        """How sure the answer to a variant is, and a completion with it; None if it is not to be learned."""
        drawn = await session.draw(prompt, self.votes, Sampling(temperature=self.temperature))
        answers = [session.answer_of(one) for one in drawn]
        label = plurality(answers, self.sure)
        if label is None:
            return None
        best = drawn[answers.index(label)]
        if self.verify == "judge":
            [said] = await session.draw(session.words("judge", prompt, best.text), 1, GREEDY, role="judge")
            if session.judgement(said.text) != 1.0:
                return None
        return agreement(answers), best
