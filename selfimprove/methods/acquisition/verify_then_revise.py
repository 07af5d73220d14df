"""The model judges its own attempt and revises it only if it judges it wrong; it is trained in both roles.

Idea: a second attempt that is always requested teaches a model to change right answers or to change nothing. If its own
judgement decides, a revision has a reason, and the judgement itself can be rewarded for being true.
Survey: interaction-based generation, section 2.4.3.
Paper: arXiv:2506.10406 (PAG), Jiang et al., 2025.
Algorithm:
  1. The incoming rollouts are first attempts; the recipe's reward rewards them.
  2. Ask for a judgement of each in the role `judge`. Its reward is 1 if it agrees with the attempt's reward, else 0; an
     unreadable judgement gets 0 and counts as `right`, so that nothing is revised.
  3. Revise attempts judged wrong in the role `refine`. The reward of a revision is its own reward r2 plus `bonus` times
     the gain r2 - r1 over the first attempt.
  4. Return attempts, judgements (`verdicts`) and revisions, or only those that `train` names, each with its own prompt.
Differs: the paper updates with PPO on whole conversations of two attempts, with four rollouts per prompt, a bonus of 1,
  no discount between turns and advantages normalized per role. Here each turn is a separate record, which is equivalent
  to no discount; the optimization does the rest. The reviser sees the attempt but not the text of the judgement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.revise import judged, revised
from selfimprove.interfaces import Acquisition, Context, Sampling, Session
from selfimprove.records import SOLVE, Record, Rollout
from selfimprove.registry import register

TURNS = ("attempts", "verdicts", "revisions")


@register("verify_then_revise", paper="2506.10406")
@dataclass
class VerifyThenRevise(Acquisition):
    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Rollout
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of judgements and revisions; 0 is greedy."""
    bonus: float = 1.0
    """Weight of the gain over the first attempt in the reward of a revision."""
    threshold: float = 0.5
    """An attempt with a reward above this is right."""
    train: list[str] = field(default_factory=lambda: [*TURNS])
    """Turns to return: attempts, verdicts (judgements), revisions."""

    def __post_init__(self) -> None:
        if not self.train or set(self.train) - set(TURNS):
            raise RecipeError(f"acquisition.verify_then_revise.train takes some of {', '.join(TURNS)}")

    def cost(self, given: Given) -> Cost:
        return given.rate(given.flow) + given.draw(2 * given.flow.records) + given.rate(given.flow)

    def gives(self, given: Given) -> Flow:
        came, turns = given.flow, set(self.train)
        prompts = came.prompts * ("attempts" in turns) + came.records * len(turns - {"attempts"})
        return Flow(came.records * len(turns), prompts, came.group)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        attempts = [r for r in context.reward(records) if r.reward is not None]
        sampling = Sampling(temperature=self.temperature)

        async def verdict(attempt: Rollout, session: Session) -> tuple[Rollout, float | None]:
            return await judged(attempt.prompt, attempt.text, session, sampling, role=SOLVE)

        async def again(attempt: Rollout, session: Session) -> Rollout:
            return (await revised(attempt.prompt, attempt.text, session, sampling, role=SOLVE))[0]

        said = context.run(verdict, attempts, alike=True)
        verdicts = [
            replace(
                _about(one, reply, "judge", answer=None),  # without a reference: the task's rule does not mark verdicts
                reward=float(word is not None and (word > 0.5) == ((one.reward or 0.0) > self.threshold)),
            )
            for (reply, word), one in zip(said, attempts, strict=True)
        ]
        doubted = [one for one, (_, word) in zip(attempts, said, strict=True) if word is not None and word <= 0.5]
        rewritten = context.run(again, doubted, alike=True)
        redone = [_about(one, reply, "refine") for one, reply in zip(doubted, rewritten, strict=True)]
        marked = context.reward([replace(r, prompt=one.prompt) for r, one in zip(redone, doubted, strict=True)])
        changes = [(r, m.reward, one.reward) for r, m, one in zip(redone, marked, doubted, strict=True)]
        known = [(r, after, after - (before or 0.0)) for r, after, before in changes if after is not None]
        revisions = [
            replace(r, reward=after + self.bonus * gain, info={**r.info, "reward": after}) for r, after, gain in known
        ]
        total = max(1, len(attempts))
        context.log.metric("verify_then_revise/true_verdicts", sum(r.reward or 0.0 for r in verdicts) / total)
        context.log.metric("verify_then_revise/revised", len(doubted) / total)
        context.log.metric("verify_then_revise/gain", sum(gain for _, _, gain in known) / total)
        turns = dict(zip(TURNS, (attempts, verdicts, revisions), strict=True))
        return [rollout for name in TURNS if name in self.train for rollout in turns[name]]


def _about(attempt: Rollout, reply: Rollout, role: str, **changes: Any) -> Rollout:
    """A reply as a record made from a first attempt; its prompt has the `info` of the problem, with the role."""
    of = attempt.prompt
    prompt = replace(reply.prompt, parents=of.parents, info={**of.info, "role": role}, **changes)
    return replace(reply, prompt=prompt, parents=(of.id, attempt.id))
