"""SPIN: a reference solution against the model's own, until the model cannot be told from the data.

Idea: no reward and no judge: what people wrote is the better one of each pair, what the last model wrote the worse one.
A player that learns to tell them apart has moved towards the data, and is the opponent of the next round.
Survey: interaction-based generation, section 2.4.3.
Paper: arXiv:2401.01335 (SPIN), Chen et al., 2024.
Algorithm:
  1. Take the reference solution of each prompt: the row's answer column, or the task's worked solution.
  2. Draw one completion of the last model; the pair is reference over own. Equal texts make no pair.
  3. With `label: reward` the recipe's reward says which of the two is better; equal scores make no pair.
  4. With `mix`, add the pairs of the round before.
  5. Preference optimization with the last model as reference and the logistic loss (`dpo`) is the main player's step.
Differs: none known in what is drawn: the paper's code draws at temperature 1 and mixes two rounds, as the defaults. Its
  data are the ones that the model was fine-tuned on; here the task decides what a prompt's reference solution is. The
  labels by reward are those of DNPO (arXiv:2502.05400), where a stronger model scores; what it does with equal scores
  is not known to us.
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
    """Which one is better: always the `reference`, or the one with the higher `reward`."""
    mix: bool = True
    """Give on the pairs of the round before as well."""

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
        """The pairs with the one of higher reward first."""
        marked = context.reward([rollout for pair in both for rollout in pair])
        made, turned = [], 0
        for reference, own in zip(marked[::2], marked[1::2], strict=True):
            if reference.reward is not None and own.reward is not None and reference.reward != own.reward:
                turned += own.reward > reference.reward
                made.append((own, reference) if own.reward > reference.reward else (reference, own))
        context.log.metric("opponent/own_is_better", turned / max(1, len(both)))
        return made
