"""A solver, a critic and a reviser work on each problem in turn; pipelines with a correct result train all roles.

Idea: it is unknown which turn of a pipeline deserves the credit. But if the result is right, all its turns together are
  worth imitating. Failed problems are solved again with the answer in view, so that hard problems count too.
Survey: interaction-based generation, section 2.4.3.
Paper: arXiv:2502.04780 (SiriuS), Zhao et al., 2025.
Algorithm:
  1. Draw `samples` solutions of each problem. The critic judges each in the role `judge`; the reviser answers again, in
     the role `refine`, if the solution was not judged right. The last answer is the result.
  2. The recipe's reward rewards the result, and every turn of a pipeline gets that reward. The good ones form the
     paper's library of experience.
  3. With `repair`, a problem whose pipelines all ended below `right` is solved again with the reference answer in the
     prompt (role `hint`). A solution that reaches it becomes a solver's turn without the hint, with reward 1.
  4. Return the turns of the roles that `train` names, each with its own prompt.
Differs: the paper trains a model for each role and repairs failures with feedback from another agent, then rewords
  them; here one model has all roles, and the solution with the hint replaces both steps. Its graphs of agents differ by
  task; this is the one with a solver, a critic and a reviser.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register

ROLES = ("solver", "critic", "reviser")


@register("role_pipeline", paper="2502.04780")
@dataclass
class RolePipeline(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Rollout
    samples: int = bounded(4, 1)
    """Pipelines of each problem."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of all roles; solutions with the hint are greedy."""
    repair: bool = True
    """Retry unsolved problems with the reference answer in the prompt."""
    right: float = 1.0
    """Lowest reward of a result that needs no repair."""
    train: list[str] = field(default_factory=lambda: [*ROLES])
    """The roles whose turns to return: solver, critic, reviser."""

    def __post_init__(self) -> None:
        if not self.train or set(self.train) - set(ROLES):
            raise RecipeError(f"acquisition.role_pipeline takes in train {', '.join(ROLES)}")

    def cost(self, given: Given) -> Cost:
        came = given.flow
        ends = Flow(came.records * self.samples, came.prompts, came.group * self.samples)
        return given.draw(3 * ends.records + came.records * self._repairs()) + given.rate(ends)

    def gives(self, given: Given) -> Flow:
        came, roles = given.flow, set(self.train)
        turns = came.records * self.samples
        records = turns * len(roles) + came.records * self._repairs()
        prompts = came.prompts * ("solver" in roles) + turns * len(roles - {"solver"})
        return Flow(records, prompts, came.group * (self.samples + 1))

    def _repairs(self) -> bool:
        return self.repair and "solver" in self.train

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        sampling = Sampling(temperature=self.temperature)
        solved = [one for group in context.policy.sample(records, self.samples, sampling) for one in group]
        asked = [
            replace(r.prompt, prompt=context.roles.judge(r.prompt, r.text), answer=None, info=_noted(r, "judge"))
            for r in solved
        ]
        critics = [reply for [reply] in context.policy.sample(asked, 1, sampling)]
        doubted = [i for i, reply in enumerate(critics) if (context.roles.read_judgement(reply.text) or 0.0) <= 0.5]
        shown = [
            replace(r.prompt, prompt=context.roles.refine(r.prompt, r.text), info=_noted(r, "refine"))
            for r in (solved[i] for i in doubted)
        ]
        redone = dict(zip(doubted, (reply for [reply] in context.policy.sample(shown, 1, sampling)), strict=True))
        ends = context.reward([replace(redone.get(i, one), prompt=one.prompt) for i, one in enumerate(solved)])
        made = []
        for i, (one, end) in enumerate(zip(solved, ends, strict=True)):
            turns = {"solver": one, "critic": critics[i], "reviser": redone.get(i)}
            made += [
                self._turn(turn, one.prompt, end.reward, name)
                for name, turn in turns.items()
                if turn is not None and name in self.train and end.reward is not None
            ]
        good = {end.prompt.id for end in ends if end.reward is not None and end.reward >= self.right - 1e-9}
        failed = [prompt for prompt in records if prompt.id not in good and prompt.answer is not None]
        repaired = self._repaired(failed, context) if self.repair and "solver" in self.train else []
        context.log.metric("role_pipeline/solved", len(good) / max(1, len(records)))
        context.log.metric("role_pipeline/revised", len(doubted) / max(1, len(solved)))
        context.log.metric("role_pipeline/mended", len(repaired) / max(1, len(failed)))
        return [*made, *repaired]

    def _repaired(self, failed: Sequence[Prompt], context: Context) -> list[Rollout]:
        """Solutions drawn with the answer in view that reach it."""
        hinted = [replace(prompt, prompt=context.roles.hint(prompt, str(prompt.answer))) for prompt in failed]
        drawn = context.policy.sample(hinted, 1, Sampling(temperature=0.0))
        made = []
        for prompt, [reply] in zip(failed, drawn, strict=True):
            bare = replace(reply, prompt=prompt, logprobs=None)  # drawn with another prompt
            if context.verify(prompt, reply.text) == 1.0:
                made.append(self._turn(bare, prompt, 1.0, "solver"))
        return made

    def _turn(self, turn: Rollout, prompt: Prompt, score: float | None, role: str) -> Rollout:
        return replace(
            turn,
            reward=score,
            parents=(prompt.id,),
            info={**turn.info, "role": role},
        )


def _noted(about: Rollout, role: str) -> dict[str, Any]:
    """The `info` of a problem, with the role of a prompt made from it."""
    return {**about.prompt.info, "role": role}
