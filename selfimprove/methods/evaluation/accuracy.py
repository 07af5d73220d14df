"""The share of problems that the refined model answers correctly.

Idea: one answer per problem, marked by the task's rule.
Survey: performance evaluation, section 6.
Paper: arXiv:2411.00640 (Adding Error Bars to Evals), Miller, 2024.
Algorithm:
  1. Answer each problem once with the recipe's refinement.
  2. Mark it; problems whose reference cannot be read are left out.
  3. Report the mean with its 95 % Wilson interval, the share of truncated completions and, if the recipe sets a budget
     for an answer, the share of answers that it ended.
  4. If problems have levels, each level is a guard of the gate.
Differs: the paper's interval uses the central limit theorem; Wilson's is also valid near 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Evaluation, Policy
from selfimprove.measures.statistics import proportion
from selfimprove.records import Report
from selfimprove.registry import register
from selfimprove.rounds import Exam


@register("accuracy", paper="2411.00640")
@dataclass
class Accuracy(Evaluation):
    def cost(self, given: Given) -> Cost:
        return given.flow.records * given.attempt

    def evaluate(self, policy: Policy, exam: Exam) -> Report:
        marked = policy.answer(exam.problems)
        scores = {rollout.prompt.key: rollout.reward for rollout in marked if rollout.reward is not None}
        metrics = {
            "accuracy": proportion(sum(scores.values()), len(scores)),
            "truncated": proportion(sum(rollout.truncated for rollout in marked), len(marked)),
        }
        ended = [rollout.info["spent"]["cut"] > 0 for rollout in marked if "cut" in rollout.info.get("spent", {})]
        if ended:  # the recipe has a budget for an answer
            metrics["over_budget"] = proportion(sum(ended), len(ended))
        levels: dict[str, dict[str, float]] = {}
        for rollout in marked:
            if rollout.reward is not None and "level" in rollout.prompt.info:
                levels.setdefault(f"level/{rollout.prompt.info['level']}", {})[rollout.prompt.key] = rollout.reward
        parts = levels if len(levels) > 1 else {}
        return Report(metrics=metrics, scores=scores, parts=parts, rollouts=tuple(marked))
