"""Short lessons, drawn from groups of right and wrong attempts, are read before each problem.

Idea: GRPO learns from the difference between attempts of one group. A model can put that difference into words, and the
  words change its answers without a step of training.
Survey: memory and operations learned from outcomes, section 5.3.
Paper: arXiv:2510.08191 (Training-Free GRPO), Youtu-Agent Team, 2025.
Algorithm:
  1. In `fit`, `epochs` times: draw `samples` attempts at each of `problems` selection problems, with the lessons so far
     before it, and mark them.
  2. For each group with right and wrong attempts, the model in the role lesson sees the problem, a right and a wrong
     attempt, and the numbered lessons, and replies with operations, one a line: `ADD: text`, `MODIFY 2: text`,
     `DELETE 2`. A group with equal marks teaches nothing, as its advantages would be 0.
  3. Carry out the operations of all groups, in the order of the problems. At most `size` lessons stay, the last ones.
  4. With `trials` above 0 the lessons stay only if they beat those of before on as many selection problems.
  5. Answer each problem with the lessons before it.
Differs: the paper summarizes every attempt first, and merges the operations of a batch in another call. It trains on
  100 problems for 3 epochs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.notes import better, with_notes
from selfimprove.interfaces import GREEDY, Context, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside

_OPERATION = re.compile(r"[-*\s]*(ADD|MODIFY|DELETE)(?:\s+#?(\d{1,6}))?\s*(?::\s*(.*))?")


@register("training_free_grpo", paper="2510.08191")
@dataclass
class TrainingFreeGrpo(Refinement):
    problems: int = bounded(16, 1)
    """Selection problems that each epoch of `fit` attempts."""
    samples: int = bounded(4, 2)
    """Attempts at each of them, the group."""
    epochs: int = bounded(2, 0)
    """Passes over the problems; 0 keeps the lessons as they are."""
    size: int = bounded(16, 1)
    """Most lessons."""
    trials: int = bounded(16, 0)
    """Selection problems on which new lessons have to beat the old ones; 0 always keeps the new ones."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of attempts and lessons in `fit`; answers are greedy."""

    def needs(self) -> Needs:
        return Needs(roles=("lesson",))

    def fit_cost(self, given: Given) -> Cost:
        attempts = self.epochs * self.problems * self.samples + 2 * self.trials
        return attempts * max(given.attempt, given.draw()) + given.draw(self.epochs * self.problems)

    def fit(self, context: Context) -> dict[str, Any]:
        old: list[str] = list(context.state.get("lessons", []))
        lessons = old
        for _ in range(self.epochs):
            lessons = self._epoch(context, lessons)
        if self.trials and not better(context, _listed(lessons), _listed(old), self.trials):
            lessons = old
        context.log.metric("training_free_grpo/lessons", len(lessons))
        return {"lessons": lessons}

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        lessons = _listed(session.state.get("lessons", []))
        return (await session.attempts(with_notes(prompt, lessons, session), 1, GREEDY))[0]

    def _epoch(self, context: Context, lessons: list[str]) -> list[str]:
        """The lessons after a pass over the problems."""

        async def taught(prompt: Prompt, session: Session) -> str:
            sampling = Sampling(temperature=self.temperature)
            asked = with_notes(prompt, _listed(lessons), session)
            drawn = await session.attempts(asked, self.samples, sampling)
            ranked = sorted(drawn, key=lambda one: session.mark(one) or 0.0)
            worst, best = ranked[0], ranked[-1]
            if (session.mark(worst) or 0.0) == (session.mark(best) or 0.0):
                return ""
            words = beside(__name__, "training_free_grpo.txt")
            said = session.words("lesson", prompt, best.text, worst.text, _listed(lessons), otherwise=words)
            [made] = await session.draw(said, 1, sampling, role="lesson")
            return made.text

        replies = context.run(taught, context.selection(self.problems))
        return carried_out(lessons, replies)[-self.size :]


def carried_out(lessons: Sequence[str], replies: Sequence[str]) -> list[str]:
    """The lessons after the operations of all replies, whose numbers are those of the lessons as given.

    A line that is no operation, and one with a number that there is not, does nothing; a lesson is there once.
    """
    kept, added = dict(enumerate(lessons, 1)), 0
    for line in (line for reply in replies for line in reply.splitlines()):
        found = _OPERATION.fullmatch(line)
        if not found:
            continue
        kind, number, text = found[1], int(found[2] or 0), (found[3] or "").strip()
        if kind == "ADD" and text:
            added += 1
            kept[len(lessons) + added] = text
        elif kind == "MODIFY" and text and number in kept and number <= len(lessons):
            kept[number] = text
        elif kind == "DELETE" and number <= len(lessons):
            kept.pop(number, None)
    return list(dict.fromkeys(kept[number] for number in sorted(kept)))


def _listed(lessons: Sequence[str]) -> str:
    return "\n".join(f"{number}. {lesson}" for number, lesson in enumerate(lessons, 1))
