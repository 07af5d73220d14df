"""Answer training problems with the recipe's own refinement: what inference finds becomes data, whatever it is.

Idea: a refinement makes a better policy of the same weights (votes, search, critique). Imitating its answers moves the
  weights towards that policy, so that the next round's refinement starts from there.
Survey: self-evolution of inference, section 5; transformation-based generation, section 2.4.2.
Paper: arXiv:2210.11610 (LMSI), Huang et al., 2022, imitates majorities; arXiv:2412.01951 (the sharpening mechanism),
  Huang et al., 2024, has the theory for best-of-n. Retained lift is that of arXiv:2412.02674's generation-verification
  gap between rounds.
Algorithm:
  1. Answer each problem `samples` times with the refinement, as the exams do, within the same budget. References stay
     hidden; the reward comes afterwards, from the recipe.
  2. Also draw `plain` completions of each problem, which are not returned. The metric `refined/lift` is the accuracy of
     the refinement minus theirs, by the task's marks, with its paired interval; `refined/cost` is the tokens of an
     answer in completions of that length.
  3. From the second round on `refined/retained` is the share of the last round's lift that the weights have taken over:
     the plain accuracy now minus that of the last round, over that lift. It is 0 if the candidate was dropped, and left
     out if the lift was not above zero.
Differs: the marks are for these metrics only. Problems of two rounds differ, so `refined/retained` is noisy. An answer
  has the problem as its prompt, however it was found, and then no log-probabilities unless the solver said it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import foreign
from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.interfaces import Acquisition, Context
from selfimprove.measures import statistics
from selfimprove.records import SOLVE, Prompt, Record, Rollout, changed
from selfimprove.registry import register

STATE = "lift.json"
"""What the next round compares with."""


@register("refined", paper="2412.01951")
@dataclass
class Refined(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Rollout
    samples: int = bounded(1, 1)
    """Refined answers to each problem."""
    plain: int = bounded(1, 0)
    """Plain completions of each problem that they are measured against; 0 measures no lift."""

    def cost(self, given: Given) -> Cost:
        problems = given.flow.records
        answers = problems * self.samples * given.replies * given.attempt
        return given.joint(given.flow) + answers + given.draw(problems * self.plain * given.replies)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(came.records * self.samples, came.prompts, came.group * self.samples)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        answers = [one.rollout for one in context.policy.play(records, self.samples)]
        if self.plain and records:
            drawn = [one.rollout for one in context.policy.plain().play(records, self.plain)]
            self._measure(_groups(answers, self.samples), _groups(drawn, self.plain), context)
        return [
            changed(one, reward=None, rated=False, role=SOLVE, logprobs=one.logprobs if one.role == SOLVE else None)
            for one in answers
        ]

    def _measure(self, answers: list[list[Rollout]], drawn: list[list[Rollout]], context: Context) -> None:
        """The lift over plain samples of the same problems, and how much of the last one was kept."""
        pairs = [(_mean(one), _mean(other)) for one, other in zip(answers, drawn, strict=True)]
        known = [(new, old) for new, old in pairs if new is not None and old is not None]
        if not known:
            return
        refined, plain = [new for new, _ in known], [old for _, old in known]
        lift, accuracy = statistics.difference(refined, plain), sum(plain) / len(plain)
        tokens, one = _tokens(answers), _tokens(drawn)
        numbers = {
            "accuracy": sum(refined) / len(refined),
            "plain": accuracy,
            "lift": lift.value,
            "lift_low": lift.low,
            "lift_high": lift.high,
            "tokens": tokens,
        }
        if one:
            numbers["cost"] = tokens / one
        before = context.previous / STATE if context.previous else None
        if before is not None and before.exists():
            last = foreign.json_in(before)
            if last["lift_low"] > 0:
                numbers["retained"] = (accuracy - last["plain"]) / last["lift"]
        for name, value in numbers.items():
            context.log.metric(f"refined/{name}", value)
        state = {name: numbers[name] for name in ("plain", "lift", "lift_low")}
        (context.folder / STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")


def _groups(rollouts: Sequence[Rollout], size: int) -> list[list[Rollout]]:
    return [list(rollouts[place : place + size]) for place in range(0, len(rollouts), size)]


def _mean(group: Sequence[Rollout]) -> float | None:
    """The mean mark of the answers to a problem; None if its reference cannot be read."""
    marks = [one.reward for one in group if one.reward is not None]
    return sum(marks) / len(marks) if len(marks) == len(group) else None


def _tokens(groups: Sequence[Sequence[Rollout]]) -> float:
    """Mean tokens of an answer."""
    rows = [one for group in groups for one in group]
    spent = (one.info.get("spent", {}).get("tokens", (one.logprobs or {}).get("count", 0)) for one in rows)
    return sum(spent) / len(rows)
