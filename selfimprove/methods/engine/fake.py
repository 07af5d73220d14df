"""An engine without a model, for tests: it answers from a table or by a coin flip, always the same way.

Idea: a method's logic can be tested in milliseconds, with known probabilities.
Survey: none.
Paper: none.
Algorithm:
  1. The text of the last message is looked up in `answers`, a map from prompt text to completions with weights.
  2. A prompt that is not in the table gets `default`.
  3. Each draw depends on (seed, prompt, sample) only; at temperature 0 the heaviest completion is taken.
Differs: nothing to compare with.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Engine, Log, Sampling
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.registry import register


@register("fake")
@dataclass
class Fake(Engine):
    answers: dict[str, dict[str, float]] = field(default_factory=dict)
    """Prompt text -> {completion: weight}."""
    default: str = "?"
    """The completion of a prompt that is not in the table."""

    def sample(
        self, checkpoint: Checkpoint, prompts: Sequence[Prompt], n: int, sampling: Sampling, seed: int, log: Log
    ) -> list[list[Rollout]]:
        groups = []
        for done, prompt in enumerate(prompts, 1):
            table = self._table(prompt)
            groups.append([self._rollout(prompt, table, i, sampling, seed) for i in range(n)])
            log.progress(done * n, len(prompts) * n, "samples")
        return groups

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        if statistic not in ("logprob", "entropy", "self_certainty"):
            raise RecipeError(f"engine.fake has no statistic {statistic!r}; it has logprob, entropy and self_certainty")
        return [[self._statistic(self._table(rollout.prompt), rollout.text, statistic)] for rollout in rollouts]

    def longest(self) -> int:
        return 1  # a completion counts as one token

    def _table(self, prompt: Prompt) -> dict[str, float]:
        return self.answers.get(prompt.prompt[-1]["content"], {self.default: 1.0})

    def _rollout(self, prompt: Prompt, table: dict[str, float], i: int, sampling: Sampling, seed: int) -> Rollout:
        if sampling.temperature == 0:
            text = max(table, key=lambda completion: table[completion])
        else:
            draw = random.Random(f"{seed}:{prompt.prompt[-1]['content']}:{i}")
            weights = [weight ** (1 / sampling.temperature) for weight in table.values()]
            text = draw.choices(list(table), weights)[0]
        return Rollout(
            prompt=prompt,
            completion=[{"role": "assistant", "content": text}],
            logprobs={"sum": self._logprob(table, text), "count": 1},
            info={"finish_reason": "stop"},
        )

    def _statistic(self, table: dict[str, float], text: str, statistic: str) -> float:
        """A completion of this engine counts as one token; the table is the vocabulary."""
        logprobs = [self._logprob(table, one) for one in table]
        match statistic:
            case "entropy":
                return -sum(math.exp(logprob) * logprob for logprob in logprobs)
            case "self_certainty":
                return -math.log(len(logprobs)) - sum(logprobs) / len(logprobs)
            case _:
                return self._logprob(table, text)

    def _logprob(self, table: dict[str, float], text: str) -> float:
        share = table.get(text, 0.0) / sum(table.values())
        return math.log(share) if share > 0 else -100.0
