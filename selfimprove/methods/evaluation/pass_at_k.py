"""The probability that at least one of k samples is right.

Idea: measure what the model can solve in several attempts; a loop that only sharpens raises pass@1 and lowers pass@k.
Survey: performance evaluation, section 6.
Paper: arXiv:2107.03374 (Codex), Chen et al., 2021, equation 1.
Algorithm:
  1. Draw `samples` raw completions of each of the first `problems` problems at `temperature`.
  2. With c right ones, pass@k = 1 - C(n - c, k) / C(n, k), averaged over problems.
  3. For k > 1 it is a guard of the gate, paired by problem.
Differs: none known.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Evaluation, Policy, Sampling
from selfimprove.measures.attempts import pass_at_k
from selfimprove.measures.statistics import mean
from selfimprove.records import Report
from selfimprove.registry import register
from selfimprove.rounds import Exam


@register("pass_at_k", paper="2107.03374")
@dataclass
class PassAtK(Evaluation):
    k: list[int] = field(default_factory=lambda: [1, 4, 16])
    """Numbers of attempts k."""
    samples: int = bounded(16, 1)
    """Completions per problem; at least the largest k."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature."""
    problems: int = 200
    """Problems used, the first ones of the exam."""

    def __post_init__(self) -> None:
        if not self.k or max(self.k) > self.samples or min(self.k) < 1:
            raise RecipeError(f"evaluation.pass_at_k: every k must be 1 to samples ({self.samples}), found {self.k}")

    def cost(self, given: Given) -> Cost:
        return given.draw(min(self.problems, given.flow.records) * self.samples)

    def evaluate(self, policy: Policy, exam: Exam) -> Report:
        groups = policy.sample(exam.problems[: self.problems], self.samples, Sampling(temperature=self.temperature))
        marks = {g[0].prompt.key: [exam.verify(rollout.prompt, rollout.text) for rollout in g] for g in groups}
        right = {key: sum((mark or 0.0) > 0.5 for mark in group) for key, group in marks.items() if None not in group}
        parts = {f"pass@{k}": {key: pass_at_k(self.samples, c, k) for key, c in right.items()} for k in self.k}
        return Report(
            metrics={name: mean([*values.values()]) for name, values in parts.items()},
            parts={name: values for name, values in parts.items() if name != "pass@1"},
        )
