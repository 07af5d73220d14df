"""What a solution, or the beginning of one, is worth while a problem is answered, without a reference answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.ballots import candidate_of, winner
from selfimprove.inference.revise import judged
from selfimprove.interfaces import Context, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Checkpoint, Prompt, Rollout

WAYS = ("judge", "votes", "model", "verifier")
FOLDER = "verifier"
REWARD = "reward."
UNKNOWN = 0.5
"""The worth of a solution whose judge cannot be read, or to which the reward gives nothing."""


@dataclass(frozen=True)
class Worth:
    """How solutions are valued, each in [0, 1] unless a reward says otherwise.

    `judge`: the mean of `samples` judgements, greedy if it is one. `votes`: the share of the same final answer among
    all solutions known so far. `model`: the probability per token under the model itself. `verifier`: the same under
    the weights in the checkpoint's folder `verifier`, which the optimization `vstar` writes; weights without one, such
    as those of round 0, value by themselves. `reward.NAME`: that reward of the recipe, without a reference answer.
    """

    way: str
    samples: int = 1

    def check(self, option: str, ways: Sequence[str] = WAYS) -> None:
        """
        Raises:
            RecipeError: there is no such way.
        """
        if self.way not in ways and not (self.way.startswith(REWARD) and self.way != REWARD):
            raise RecipeError(f"refinement.{option} takes {', '.join(ways)} or {REWARD}NAME, not {self.way!r}")

    def needs(self) -> Needs:
        found = {"judge": Needs(roles=("judge",)), "verifier": Needs(statistics=("logprob",))}
        return found.get(self.way, Needs())

    def cost(self, given: Given, n: int) -> Cost:
        """The most that the values of n solutions take."""
        match self.way:
            case "judge":
                return given.draw(n * self.samples)
            case "verifier":
                return Cost(scored=n)
        return given.rate(Flow(n, 1, n)) if self.way.startswith(REWARD) else Cost()

    def learned(self, context: Context) -> dict[str, Any]:
        """The state that a method's `fit` returns: where the verifier lies, relative to the weights."""
        there = self.way == FOLDER and (Path(context.policy.checkpoint.path) / FOLDER).is_dir()
        return {FOLDER: FOLDER} if there else {}

    async def of(
        self, prompt: Prompt, solutions: Sequence[Rollout], session: Session, known: Sequence[Rollout] = ()
    ) -> list[float]:
        """The worth of each solution.

        Args:
            known: solutions of the same problem that were found before, for votes.
        """
        match self.way:
            case "judge":
                return await session.all([self._judged(prompt, one.text, session) for one in solutions])
            case "votes":
                answers = [session.answer_of(one) for one in (*known, *solutions)]
                own = answers[len(known) :]
                return [answers.count(one) / len(answers) if one is not None else 0.0 for one in own]
            case "verifier" if FOLDER in session.state:
                folder = Path(session.policy.checkpoint.path) / session.state[FOLDER]
                verifier = replace(session.policy, checkpoint=Checkpoint(path=str(folder)))
                rows = await session.logprobs_of(solutions, of=verifier)
                return [math.exp(math.fsum(row) / max(1, len(row))) for row in rows]
        if self.way.startswith(REWARD):
            found = await session.rate(solutions, self.way.removeprefix(REWARD))
            return [UNKNOWN if value is None else value for value in found]
        return [sureness(one) for one in solutions]

    async def _judged(self, prompt: Prompt, attempt: str, session: Session) -> float:
        sampling = Sampling(temperature=0.0 if self.samples == 1 else 1.0)
        said = await session.all([judged(prompt, attempt, session, sampling) for _ in range(self.samples)])
        read = [value for _, value in said if value is not None]
        return math.fsum(read) / len(read) if read else UNKNOWN


def sureness(rollout: Rollout) -> float:
    """The geometric mean of the probabilities of its tokens; 0 if an engine gives none."""
    known = rollout.logprobs or {"sum": 0.0, "count": 0}
    return math.exp(known["sum"] / known["count"]) if known["count"] else 0.0


def voted(pool: Sequence[tuple[Rollout, float]], session: Session) -> Rollout:
    """The heaviest solution of the answer whose solutions weigh most together; without any answer the heaviest."""
    seen = [candidate_of(one, session.answer_of(one)) for one, _ in pool]
    if all(one.answer is None for one in seen):
        return max(pool, key=lambda one: one[1])[0]
    return pool[winner(seen, [weight for _, weight in pool])][0]
