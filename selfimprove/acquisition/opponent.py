"""SPIN: a reference solution against the model's own, until the model cannot be told from the data.

Idea: no reward and no judge: what people wrote is the better one of each pair, what the last model wrote the worse one.
A player that learns to tell them apart has moved towards the data, and is the opponent of the next round.
Survey: interaction-based generation, section 2.4.3.
Paper: arXiv:2401.01335 (SPIN), Chen et al., 2024.
Algorithm:
  1. Take the reference solution of each prompt: the row's answer column, or the task's worked solution.
  2. Draw one completion of the last model; the pair is reference over own. Equal texts make no pair.
  3. With `mix`, add the pairs of the round before.
  4. Preference optimization with the last model as reference and the logistic loss (`dpo`) is the main player's step.
Differs: none known in what is drawn: the paper's code draws at temperature 1 and mixes two rounds, as the defaults. Its
  data are the ones that the model was fine-tuned on; here the task decides what a prompt's reference solution is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.errors import DataError
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.records import Preference, Prompt, Record, read_records, write_records
from selfimprove.registry import register

PAIRS = "pairs.jsonl"
"""Where a round keeps its own pairs for the next one."""


@register("opponent", paper="2401.01335")
@dataclass
class Opponent(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Preference
    temperature: float = 1.0
    """Sampling temperature of the opponent; 0 is greedy."""
    top_p: float = 1.0
    """Nucleus: the smallest set of tokens with this much probability."""
    mix: bool = True
    """Give on the pairs of the round before as well."""

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        known = [(prompt, text) for prompt in records if (text := context.roles.solution(prompt)) is not None]
        if records and not known:
            raise DataError(
                "acquisition.opponent: no problem of this task has a reference solution; "
                "use a task that has them, for example jsonl with worked answers"
            )
        sampling = Sampling(temperature=self.temperature, top_p=self.top_p)
        groups = context.policy.sample([prompt for prompt, _ in known], 1, sampling)
        pairs = [
            Preference(
                prompt=prompt,
                chosen=[{"role": "assistant", "content": text}],
                rejected=own.completion,
                source=f"opponent@{context.round}",
                parents=(prompt.id,),
            )
            for (prompt, text), [own] in zip(known, groups, strict=True)
            if own.text != text
        ]
        context.log.metric("opponent/unlike", len(pairs) / max(1, len(known)))
        write_records(context.folder / PAIRS, pairs)
        before = context.previous / PAIRS if self.mix and context.previous else None
        return [*(read_records(before) if before and before.exists() else []), *pairs]
