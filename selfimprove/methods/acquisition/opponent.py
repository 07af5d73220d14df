"""SPIN: pairs of a reference solution and the model's own, until the model's solutions look like the references.

Idea: no reward and no judge. In each pair the reference solution is chosen and the last model's solution rejected. A
model that learns to tell them apart moves towards the data, and is the opponent of the next round.
Survey: interaction-based generation, section 2.4.3.
Paper: arXiv:2401.01335 (SPIN), Chen et al., 2024.
Algorithm:
  1. Take the reference solution of each prompt: the row's answer column, or the task's worked solution.
  2. Draw one completion of the last model; the reference is chosen, the completion rejected. Equal texts make no pair.
  3. With `label: reward` the text with the higher reward is chosen; equal rewards make no pair.
  4. With `mix`, add the pairs of the previous round.
  5. The main player's step is preference optimization with the last model as reference and the logistic loss (`dpo`).
Differs: none known in the sampling: the paper's code draws at temperature 1 and mixes two rounds, like the defaults.
  Its data are those that the model was fine-tuned on; here the task gives the reference solution of a prompt. Labels by
  reward are those of DNPO (arXiv:2502.05400), where a stronger model labels; we do not know how it treats equal scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import DataError, RecipeError
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.records import Preference, Prompt, Record, Rollout, read_records, write_records
from selfimprove.registry import register

PAIRS = "pairs.jsonl"
"""Where a round keeps its own pairs for the next one."""


@register("opponent", paper="2401.01335")
@dataclass
class Opponent(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Preference
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of the opponent; 0 is greedy."""
    top_p: float = bounded(1.0, 0, 1)
    """Nucleus: the smallest set of tokens with this much probability."""
    label: str = "reference"
    """The chosen one: always the `reference`, or the one with the higher `reward`."""
    mix: bool = True
    """Also return the pairs of the previous round."""

    def __post_init__(self) -> None:
        if self.label not in ("reference", "reward"):
            raise RecipeError(f"acquisition.opponent.label takes reference or reward, not {self.label!r}")

    def cost(self, given: Given) -> Cost:
        came = given.flow
        both = Flow(2 * came.records, came.prompts, 2 * came.group)
        return given.draw(came.records) + (given.rate(both) if self.label == "reward" else Cost())

    def gives(self, given: Given) -> Flow:
        came, times = given.flow, 2 if self.mix and given.round > 1 else 1
        return Flow(came.records * times, came.prompts * times, came.group * times)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        known = [(prompt, text) for prompt in records if (text := context.roles.solution(prompt)) is not None]
        if records and not known:
            raise DataError(
                "acquisition.opponent: no problem of this task has a reference solution; "
                "use a task that has them, for example jsonl with worked answers"
            )
        sampling = Sampling(temperature=self.temperature, top_p=self.top_p)
        groups = context.policy.sample([prompt for prompt, _ in known], 1, sampling)
        both = [
            (Rollout(prompt=prompt, completion=[{"role": "assistant", "content": text}]), own)
            for (prompt, text), [own] in zip(known, groups, strict=True)
            if own.text != text
        ]
        context.log.metric("opponent/unlike", len(both) / max(1, len(known)))
        pairs = [  # signed here, because the next round reads them out of this one's folder
            Preference.of(better, worse, source=f"opponent@{context.round}", parents=(better.prompt.id,))
            for better, worse in (both if self.label == "reference" else self._labelled(both, context))
        ]
        write_records(context.folder / PAIRS, pairs)
        before = context.previous / PAIRS if self.mix and context.previous else None
        return [*(read_records(before) if before and before.exists() else []), *pairs]

    def _labelled(self, both: Sequence[tuple[Rollout, Rollout]], context: Context) -> list[tuple[Rollout, Rollout]]:
        """The pairs, ordered by reward, higher first."""
        marked = context.reward([rollout for pair in both for rollout in pair])
        made, turned = [], 0
        for reference, own in zip(marked[::2], marked[1::2], strict=True):
            if reference.reward is not None and own.reward is not None and reference.reward != own.reward:
                turned += own.reward > reference.reward
                made.append((own, reference) if own.reward > reference.reward else (reference, own))
        context.log.metric("opponent/own_is_better", turned / max(1, len(both)))
        return made
