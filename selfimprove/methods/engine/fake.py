"""An engine without a model, for tests: it answers deterministically from a table.

Idea: test the logic of a method in milliseconds, with known probabilities.
Survey: none.
Paper: none.
Algorithm:
  1. The text of the last message is looked up in `answers`, a map from prompt text to completions with weights.
  2. A prompt that is not in the table gets `default`.
  3. Each draw depends on (seed, prompt, sample) only; at temperature 0 the heaviest completion is taken. A completion
     is one token; one with a stop string in it is cut behind that.
Differs: nothing to compare with.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from selfimprove.errors import RecipeError
from selfimprove.inference.asks import refuse
from selfimprove.inference.stops import completed
from selfimprove.interfaces import Ask, Engine, Log
from selfimprove.records import Checkpoint, Rollout
from selfimprove.registry import register


@register("fake")
@dataclass
class Fake(Engine):
    can: ClassVar[frozenset[str]] = frozenset({"stop", "tops", "logprobs", "embed", "open"})
    answers: dict[str, dict[str, float]] = field(default_factory=dict)
    """Prompt text -> {completion: weight}."""
    default: str = "?"
    """The completion of a prompt that is not in the table."""

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        refuse(self, (ask.sampling for ask in asks))
        groups, done, total = [], 0, sum(ask.n for ask in asks)
        for ask in asks:
            groups.append([self._rollout(ask, self._table(ask), i) for i in range(ask.first, ask.first + ask.n)])
            done += ask.n
            log.progress(done, total, "samples")
        return groups

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        return [[self._statistic(self._table(rollout), rollout.text, statistic)] for rollout in rollouts]

    def longest(self) -> int:
        return 1  # a completion counts as one token

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        """Each text as counts of its characters in 64 classes, of length 1: texts of the same letters are near."""
        import numpy

        rows = numpy.zeros((len(texts), 64), dtype=numpy.float32)
        for row, text in zip(rows, texts, strict=True):
            for character in text:
                row[ord(character) % 64] += 1
            row /= max(1.0, float(numpy.linalg.norm(row)))
        return rows

    def _table(self, of: Ask | Rollout) -> dict[str, float]:
        """What may be said and its weights; said after a stop string is nothing, so completions may become one."""
        table = self.answers.get(of.prompt.prompt[-1]["content"], {self.default: 1.0})
        if isinstance(of, Rollout) or not of.sampling.stop:
            return table
        cut: dict[str, float] = {}
        for text, weight in table.items():
            found = completed(text, of.sampling.stop)
            kept = text[: found[1]] if found else text
            cut[kept] = cut.get(kept, 0.0) + weight
        return cut

    def _rollout(self, ask: Ask, table: dict[str, float], i: int) -> Rollout:
        prompt, sampling = ask.prompt, ask.sampling
        if sampling.temperature == 0:
            text = max(table, key=lambda completion: table[completion])
        else:
            draw = random.Random(f"{ask.seed}:{prompt.prompt[-1]['content']}:{i}")
            weights = [weight ** (1 / sampling.temperature) for weight in table.values()]
            text = draw.choices(list(table), weights)[0]
        found = completed(text, sampling.stop)
        likeliest = sorted(table, key=lambda completion: -table[completion])[: sampling.tops]
        return Rollout(
            prompt=prompt,
            completion=[{"role": "assistant", "content": text}],
            logprobs={"sum": self._logprob(table, text), "count": 1},
            info={"finish_reason": "stop"} | ({"stop_string": found[0]} if found else {}),
            noted={name: [self._statistic(table, text, name)] for name in sampling.note},
            tops=[{one: self._logprob(table, one) for one in likeliest}] if sampling.tops else [],
        )

    def _statistic(self, table: dict[str, float], text: str, statistic: str) -> float:
        """A completion of this engine counts as one token; the table is the vocabulary."""
        logprobs = [self._logprob(table, one) for one in table]
        match statistic:
            case "entropy":
                return -sum(math.exp(logprob) * logprob for logprob in logprobs)
            case "self_certainty":
                return -math.log(len(logprobs)) - sum(logprobs) / len(logprobs)
            case "logprob":
                return self._logprob(table, text)
        raise RecipeError(f"engine.fake has no statistic {statistic!r}; it has logprob, entropy and self_certainty")

    def _logprob(self, table: dict[str, float], text: str) -> float:
        share = table.get(text, 0.0) / sum(table.values())
        return math.log(share) if share > 0 else -100.0
