"""The share of probe problems that the refined model answers correctly: the effect of training on other abilities.

Idea: a loop that trains on its own output may forget what it does not practise, so abilities beside the task are
measured.
Survey: catastrophic forgetting, section 7.1; evaluation out of distribution, section 6.
Paper: arXiv:2407.05013 (Progress or Regress?), Wu et al., 2024.
Algorithm:
  1. For each of the task's probes, answer its problems once with the recipe's refinement.
  2. Mark them. Each probe gives a metric and a guard: `probe/...` for old abilities, `ood/...` for problems out of
     distribution.
Differs: the paper uses other published test sets; here the task defines the probes.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Evaluation, Policy
from selfimprove.measures.statistics import proportion
from selfimprove.records import Metric, Report
from selfimprove.registry import register
from selfimprove.rounds import Exam


@register("probes", paper="2407.05013")
@dataclass
class Probes(Evaluation):
    def cost(self, given: Given) -> Cost:
        return given.probes * given.attempt

    def evaluate(self, policy: Policy, exam: Exam) -> Report:
        metrics: dict[str, Metric] = {}
        parts: dict[str, dict[str, float]] = {}
        asked = [(name, problem) for name, problems in exam.probes.items() for problem in problems]
        rollouts = policy.answer([problem for _, problem in asked])  # all in one call: full batches
        for (name, problem), rollout in zip(asked, rollouts, strict=True):
            if rollout.reward is not None:
                parts.setdefault(name, {})[problem.key] = rollout.reward
        for name, marks in parts.items():
            metrics[name] = proportion(sum(marks.values()), len(marks))
        return Report(metrics=metrics, parts=parts)
