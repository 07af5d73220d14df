"""Self-edits of problems, rewarded by what a copy of the weights can do that was trained on them.

Idea: whether a text is worth learning shows in what it teaches. So the writer of such texts can be trained by their
  effect, without anybody who says what a good text is.
Survey: transformation-based generation, section 2.4.2; test-time training, section 5.5.
Paper: arXiv:2506.10943 (SEAL), Zweiger et al., 2025: the outer loop, ReST-EM.
Algorithm:
  1. For each problem draw `edits` self-edits, each of `rows` texts in the role edit. With `style: solution` these are
     solutions in the role solve; other styles are those of the refinement self_edits.
  2. Ask the model `tries` times for the problem and for `variants` other wordings of it.
  3. Train a copy on each self-edit for `max_steps` steps, and ask it the same. The mean reward is the edit's worth.
  4. The texts of an edit have the reward 1 if it is worth more than the model without an edit and no other edit of the
     problem is worth more; else 0.
  5. The selection keeps those with 1, and the optimization trains the writer on them.
Differs: the paper draws 5 self-edits of each of 50 passages and averages over 3 seeds; here `tries` does that. Its
  edits may also set the schedule of the copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.inference import edits
from selfimprove.interfaces import Acquisition, Context, Policy, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Record, Rollout, changed
from selfimprove.registry import register
from selfimprove.training import Schedule


@register("self_edits", paper="2506.10943")
@dataclass
class SelfEdits(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Rollout
    style: str = "similar"
    """What is written: `similar`, `notes` or `rewrite` in the role edit, or `solution`."""
    edits: int = bounded(5, 2)
    """Self-edits of each problem."""
    rows: int = bounded(4, 1)
    """Texts of a self-edit."""
    variants: int = bounded(2, 0)
    """Other wordings of the problem that a copy is asked as well, where the task has any."""
    tries: int = bounded(2, 1)
    """Answers to each of them."""
    max_steps: int = bounded(4, 1)
    """Optimizer steps of a copy."""
    learning_rate: float = bounded(1e-5, 0, 100)
    """Learning rate of a copy."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of self-edits and answers."""

    def __post_init__(self) -> None:
        edits.check("acquisition.self_edits.style", self.style, [*edits.ASKS, edits.SOLUTION])

    def needs(self) -> Needs:
        return edits.needs([self.style]) + Needs(engine=("copies",))

    def cost(self, given: Given) -> Cost:
        asked = (1 + self.edits) * (1 + self.variants) * self.tries
        answered = given.draw(asked) + given.rate(Flow(asked, 1 + self.variants, asked))
        copies = self.edits * Cost(copies=1, steps=self.max_steps)
        return given.flow.records * (given.draw(self.edits * self.rows) + answered + copies)

    def gives(self, given: Given) -> Flow:
        made = self.edits * self.rows
        return Flow(given.flow.records * made, given.flow.prompts, given.flow.group * made)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        asked = {one.id: [one, *context.variants(one, self.variants)] for one in records}

        async def tried(problem: Prompt, session: Session) -> list[Rollout]:
            held = asked[problem.id]
            plain = await self._worth(held, session, session.policy)
            written = await session.all(
                [edits.edited(problem, self.style, self.rows, self.temperature, session) for _ in range(self.edits)]
            )
            worth = await session.all([self._taught(rows, held, session) for rows in written])
            best = max(worth)
            gains.append(best - plain)
            marks = [float(one == best and one > plain) for one in worth]
            return [self._record(row, problem, mark) for rows, mark in zip(written, marks, strict=True) for row in rows]

        gains = list[float]()
        made = context.run(tried, records)
        context.log.metric("self_edits/helped", sum(gain > 0 for gain in gains) / max(1, len(gains)))
        context.log.metric("self_edits/gain", sum(gains) / max(1, len(gains)))
        return [row for rows in made for row in rows]

    async def _taught(self, rows: Sequence[Rollout], held: Sequence[Prompt], session: Session) -> float:
        """What a copy can do that was trained on these texts."""
        schedule = Schedule(
            learning_rate=self.learning_rate,
            max_steps=self.max_steps,
            per_device_train_batch_size=len(rows),
            lr_scheduler_type="constant",
        )
        async with session.adapted(rows, schedule) as copy:
            return await self._worth(held, session, copy)

    async def _worth(self, held: Sequence[Prompt], session: Session, policy: Policy) -> float:
        """The mean reward of a policy's answers to these problems; one without a reward counts 0."""
        sampling = Sampling(temperature=self.temperature)
        drawn = await session.all([session.draw(one, self.tries, sampling, of=policy) for one in held])
        given = await session.rewarded([one for some in drawn for one in some])
        return sum(one.reward or 0.0 for one in given) / len(given)

    def _record(self, row: Rollout, problem: Prompt, mark: float) -> Rollout:
        """A text with its reward; what is asked in the role edit has no reference answer."""
        own = row.prompt if self.style == edits.SOLUTION else changed(row.prompt, answer=None, parents=(problem.id,))
        return changed(row, prompt=own, reward=mark, rated=True, parents=(problem.id,))
