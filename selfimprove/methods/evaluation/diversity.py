"""How different the samples of one prompt are.

Idea: a loop that trains on its own output can lose diversity long before it loses accuracy.
Survey: model collapse, section 7.1.
Paper: arXiv:1510.03055 (distinct-n), Li et al., 2015.
Algorithm:
  1. Draw `samples` raw completions of each of the first `problems` problems at `temperature`.
  2. distinct-n: different n-grams divided by all n-grams of a prompt's samples, averaged over prompts.
  3. unique: different texts divided by samples.
Differs: the paper counts over the whole output; collapse shows first within prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Evaluation, Policy, Sampling
from selfimprove.measures.statistics import mean
from selfimprove.records import Report
from selfimprove.registry import register
from selfimprove.rounds import Exam
from selfimprove.text import ngrams


@register("diversity", paper="1510.03055")
@dataclass
class Diversity(Evaluation):
    samples: int = bounded(8, 1)
    """Completions per problem."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature."""
    problems: int = 200
    """Problems used, the first ones of the exam."""

    def cost(self, given: Given) -> Cost:
        return given.draw(min(self.problems, given.flow.records) * self.samples)

    def evaluate(self, policy: Policy, exam: Exam) -> Report:
        groups = policy.sample(exam.problems[: self.problems], self.samples, Sampling(temperature=self.temperature))
        texts = [[rollout.text for rollout in group] for group in groups]
        metrics = {f"distinct_{n}": mean([_distinct(group, n) for group in texts]) for n in (1, 2, 3)}
        metrics["unique"] = mean([len(set(group)) / len(group) for group in texts])
        return Report(metrics=metrics)


def _distinct(texts: Sequence[str], n: int) -> float:
    grams = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(grams)) / len(grams) if grams else 0.0
