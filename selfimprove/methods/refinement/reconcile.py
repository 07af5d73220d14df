"""Agents answer with a confidence, see all answers in groups, and answer again; votes weigh by confidence.

Idea: an agent that is sure should count for more, and seeing why others are sure changes minds for a reason.
Survey: debate, section 5.5.
Paper: arXiv:2309.13007 (ReConcile), Chen et al., 2023.
Algorithm:
  1. Each of the `agents` answers; so does each policy in `policies` (start, champion, before).
  2. The confidence of an answer is the model's own probability per token, or with `confidence: said` what the model
     says of it in the role `confidence`, from 0 to 100. Its weight is 1 at 1, .8 from .9 on, .5 from .8 on, .3 above
     .6, else .1, because stated confidence is too high.
  3. If all agree, or after `rounds` further turns, the answers vote by weight.
  4. Else every agent answers again in the role `reconsider`, which sees the answers in groups, each with how many
     gave it, how sure they were, and the words of the surest one.
Differs: the paper's agents are different models, with examples of answers that convinced each; here they are samples
  of the weights in use and of other policies of the run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.ballots import candidates_of, winner
from selfimprove.inference.debate import agreed
from selfimprove.inference.worth import sureness
from selfimprove.interfaces import GREEDY, Policy, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside

STEPS = ((1.0, 1.0), (0.9, 0.8), (0.8, 0.5))
"""(least confidence, weight), the highest first; below it is .3, and .1 up to .6."""


@register("reconcile", paper="2309.13007")
@dataclass
class Reconcile(Refinement):
    agents: int = bounded(3, 1)
    """Agents with the weights in use."""
    policies: list[str] = field(default_factory=list)
    """Further agents, one for each of these policies of the run: start, champion, before."""
    rounds: int = bounded(3, 0)
    """Most further turns of each agent; 0 is a weighted vote."""
    confidence: str = "model"
    """How sure an agent is: by the `model`'s probabilities, or as it has `said`."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of all turns."""

    def __post_init__(self) -> None:
        if self.confidence not in ("model", "said"):
            raise RecipeError(f"refinement.reconcile.confidence takes model or said, not {self.confidence!r}")
        if self.agents + len(self.policies) < 2:
            raise RecipeError("refinement.reconcile needs two agents: raise agents, or name policies")

    def needs(self) -> Needs:
        asked = ["confidence"] if self.confidence == "said" else []
        return Needs(roles=(*(["reconsider"] if self.rounds else []), *asked), policies=tuple(self.policies))

    def cost(self, given: Given) -> Cost:
        agents, said = self.agents + len(self.policies), self.confidence == "said"
        first = self.agents * given.attempt + given.draw(len(self.policies))
        return first + given.draw(agents * (self.rounds + said * (self.rounds + 1)))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature)
        weights: list[Policy | None] = [None] * self.agents + [session.other(name) for name in self.policies]
        said = await session.attempts(prompt, self.agents, sampling)
        weights = weights[: len(said)] if len(said) < self.agents else weights
        others = [session.draw(prompt, 1, sampling, of=one) for one in weights if one is not None]
        said += [one for [one] in await session.all(others)]
        for turn in range(self.rounds + 1):
            sure = await session.all([self._sure(prompt, one, session) for one in said])
            candidates = await candidates_of(session, said)
            session.best = said[winner(candidates, [weight(one) for one in sure])]
            if turn == self.rounds or agreed(said, session):
                break
            shown = _grouped(said, sure, session)
            asked = session.words("reconsider", prompt, shown, otherwise=beside(__name__, "reconcile_reconsider.txt"))
            again = [session.draw(asked, 1, sampling, role="reconsider", of=one) for one in weights]
            said = [one for [one] in await session.all(again)]
        assert session.best is not None, "each turn ends with a vote"
        return session.best

    async def _sure(self, prompt: Prompt, reply: Rollout, session: Session) -> float:
        """How sure an agent is of its reply, from 0 to 1; 0 if it cannot be read."""
        if self.confidence == "model":
            return sureness(reply)
        words = beside(__name__, "reconcile_confidence.txt")
        asked = session.words("confidence", prompt, reply.text, otherwise=words)
        [said] = await session.draw(asked, 1, GREEDY, role="confidence")
        numbers = re.findall(r"(?<![\d.-])\d{1,3}(?![\d.])", said.text)
        return min(1.0, int(numbers[-1]) / 100) if numbers else 0.0


def weight(confidence: float) -> float:
    """The weight of an answer of this confidence."""
    return next((gets for least, gets in STEPS if confidence >= least), 0.3 if confidence > 0.6 else 0.1)


def _grouped(said: Sequence[Rollout], sure: Sequence[float], session: Session) -> str:
    """The answers in groups, the order first seen: how many agents, how sure, and the words of the surest."""
    groups: dict[str, list[int]] = {}
    for place, one in enumerate(said):
        groups.setdefault(session.answer_of(one) or "no answer", []).append(place)
    lines = list[str]()
    for answer, places in groups.items():
        best = max(places, key=lambda place: sure[place])
        stated = ", ".join(f"{sure[place]:.2f}" for place in places)
        lines.append(f"{len(places)} of {len(said)} answer {answer} (confidence {stated}):\n{said[best].text}")
    return "\n\n".join(lines)
