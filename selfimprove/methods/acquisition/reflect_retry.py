"""After a failed attempt the model reflects and tries again; a reflection gets the reward of the second attempt.

Idea: rewarding the second answer teaches that answer. Rewarding only the reflection before it teaches how to find
  errors, which also helps with other problems.
Survey: interaction-based generation, section 2.4.3.
Paper: arXiv:2505.24726 (Reflect, Retry, Reward), Bensal et al., 2025.
Algorithm:
  1. The incoming rollouts are first attempts; the recipe's reward rewards them. Those with at least `right` are done.
  2. Draw `samples` reflections on each of the others in the role `judge`.
  3. Draw one second attempt for each in the role `refine`, which shows the first attempt followed by the reflection.
  4. The reward of a reflection is that of its second attempt. Return the reflections and, with `tries`, the second
     attempts that improved, with the problem alone as their prompt.
Differs: the paper trains with GRPO and rewards the tokens of the reflection alone; here the reflections are records
  with a reward, for any optimization that takes them; roles_grpo draws them anew for its steps. It has a special
  instruction for the reflection, here it is the task's critique. It draws its data set of failures once; here
  failures are drawn each round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.records import Record, Rollout
from selfimprove.registry import register


@register("reflect_retry", paper="2505.24726")
@dataclass
class ReflectRetry(Acquisition):
    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Rollout
    samples: int = bounded(4, 1)
    """Reflections on each failure."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of reflections and second attempts."""
    right: float = 1.0
    """Reward from which on a first attempt needs no reflection."""
    tries: bool = False
    """Also return second attempts with a higher reward than the first."""

    def cost(self, given: Given) -> Cost:
        came = given.flow
        second = Flow(came.records * self.samples, came.prompts, came.group * self.samples)
        return given.rate(came) + given.draw(2 * second.records) + given.rate(second)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        records = came.records * self.samples * (1 + self.tries)
        return Flow(records, came.records + came.prompts * self.tries, came.group * self.samples)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        first = [r for r in context.reward(records) if r.reward is not None]
        failed = [r for r in first if (r.reward or 0.0) < self.right - 1e-9]
        sampling = Sampling(temperature=self.temperature)
        asked = [
            replace(r.prompt, prompt=context.roles.judge(r.prompt, r.text), answer=None, info=_noted(r, "judge"))
            for r in failed
        ]
        drawn = context.policy.sample(asked, self.samples, sampling)
        pairs = [(one, reply) for one, group in zip(failed, drawn, strict=True) for reply in group]
        shown = [
            replace(one.prompt, prompt=context.roles.refine(one.prompt, f"{one.text}\n{reply.text}"))
            for one, reply in pairs
        ]
        second = [reply for [reply] in context.policy.sample(shown, 1, sampling)]
        # The reward sees a second attempt as an answer to the problem, not to the prompt that shows the reflection.
        marked = context.reward([replace(r, prompt=one.prompt) for r, (one, _) in zip(second, pairs, strict=True)])
        made = list[Rollout]()
        for (one, reflection), end in zip(pairs, marked, strict=True):
            if end.reward is None:
                continue
            origin = (one.prompt.id, one.id)
            made.append(replace(reflection, reward=end.reward, parents=origin))
            if self.tries and end.reward > (one.reward or 0.0):
                made.append(replace(end, logprobs=None, parents=origin))
        rose = sum((end.reward or 0.0) > (one.reward or 0.0) for (one, _), end in zip(pairs, marked, strict=True))
        context.log.metric("reflect_retry/failed", len(failed) / max(1, len(first)))
        context.log.metric("reflect_retry/rose", rose / max(1, len(pairs)))
        return made


def _noted(about: Rollout, role: str) -> dict[str, Any]:
    """The `info` of a problem, with the role of a prompt made from it."""
    return {**about.prompt.info, "role": role}
