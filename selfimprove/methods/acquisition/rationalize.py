"""STaR's rationalization: where every attempt failed, show the answer as a hint, then train without the hint.

Idea: a model that cannot solve a problem can often explain a given answer; the explanation teaches what was missing.
Survey: transformation-based generation, section 2.4.2.
Paper: arXiv:2203.14465 (STaR), Zelikman et al., 2022, algorithm 1.
Algorithm:
  1. Group the rollouts by prompt; keep them all.
  2. For each prompt with no right rollout, ask again with the reference answer in the prompt (role `hint`).
  3. Keep a rationale that reaches the answer, with the prompt without the hint.
Differs: none known; the paper draws one greedy rationale, which is the default here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register


@register("rationalize", paper="2203.14465")
@dataclass
class Rationalize(Acquisition):
    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Rollout
    samples: int = bounded(1, 1)
    """Rationales drawn per failed prompt."""
    temperature: float = bounded(0.0, 0, 100)
    """Sampling temperature; 0 is greedy."""

    def needs(self) -> Needs:
        return Needs(roles=("hint",))

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.prompts * self.samples)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(came.records + came.prompts * self.samples, came.prompts, came.group + self.samples)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        solved: dict[str, bool] = {}
        prompts: dict[str, Prompt] = {}
        for rollout in records:
            key = rollout.prompt.id
            prompts[key] = rollout.prompt
            solved[key] = solved.get(key, False) or context.verify(rollout.prompt, rollout.text) == 1.0
        failed = [prompt for key, prompt in prompts.items() if not solved[key] and prompt.answer is not None]
        hinted = [replace(prompt, prompt=context.roles.hint(prompt, str(prompt.answer))) for prompt in failed]
        groups = context.policy.sample(hinted, self.samples, Sampling(temperature=self.temperature), role="hint")
        rationales = [
            replace(rollout, prompt=prompt, logprobs=None)
            for prompt, group in zip(failed, groups, strict=True)
            for rollout in group
            if context.verify(prompt, rollout.text) == 1.0
        ]
        context.log.metric("rationalize/failed_prompts", len(failed))
        context.log.metric("rationalize/rationales", len(rationales))
        return [*records, *rationales]
