"""The model writes programs and tests for the same problem; running each program on each test rewards both.

Idea: a test is good if it tells correct programs from wrong ones, a program if it passes good tests. Running every
  program on every test measures both, so each role can learn from the other.
Survey: environment interaction, section 2.3; interaction-based generation, section 2.4.3.
Paper: arXiv:2506.03136 (CURE), Wang et al., 2025; without right answers arXiv:2502.14948 (Sol-Ver), Lin et al., 2025.
Algorithm:
  1. Draw `samples` programs and `tests` tests for each problem; a test is an input and its output, `27=72`.
  2. Run each program on each test's input; it passes if it returns the output.
  3. With `gold` (CURE) the reward of a program is the task's mark. Problems whose programs are all right or all wrong
     are dropped. A test that all right programs pass gets the share of wrong programs that fail it; any other test gets
     minus the share of wrong programs that pass it.
  4. Without `gold` (Sol-Ver) a program gets the share of tests that it passes, a test the share of programs that pass
     it. An unreadable program gets 0. So does an unreadable test; with `gold` step 3 applies, as if all programs fail.
  5. Return programs and tests, each with its own prompt, or only those that `train` names.
Differs: problems are inductions of the task list_programs, whose interpreter needs no sandbox. The paper rewards a
  program by the share of right tests that it passes; here the task marks it right or wrong. CURE trains with PPO and
  16 of each, Sol-Ver with SFT and DPO on pairs that agree; here the records go to any optimization; roles_grpo draws
  them anew for its steps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.problems.list_language import run
from selfimprove.records import Message, Prompt, Record, Rollout
from selfimprove.registry import register

_TEST = re.compile(r"([0-9]{1,10})=([0-9]{1,60})")


@register("code_and_tests", paper="2506.03136")
@dataclass
class CodeAndTests(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Rollout
    samples: int = bounded(16, 2)
    """Programs for each problem."""
    tests: int = bounded(16, 2)
    """Tests for each problem."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of both."""
    gold: bool = True
    """Mark programs by the task's own rule; otherwise programs and tests reward each other."""
    train: list[str] = field(default_factory=lambda: ["programs", "tests"])
    """Records to return: programs, tests."""

    def __post_init__(self) -> None:
        if not self.train or set(self.train) - {"programs", "tests"}:
            raise RecipeError("acquisition.code_and_tests takes in train programs, tests")

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.records * (self.samples + self.tests))

    def gives(self, given: Given) -> Flow:
        came = given.flow
        sizes = [size for name, size in (("programs", self.samples), ("tests", self.tests)) if name in self.train]
        return Flow(came.records * sum(sizes), came.prompts * len(sizes), came.group * max(sizes))

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        coding = [prompt for prompt in records if prompt.info.get("form") == "I"]
        if records and not coding:
            raise RecipeError(
                "acquisition.code_and_tests takes problems that ask for a program: task=list_programs, "
                "with task.list_programs.forms=I"
            )
        asked = [
            replace(p, prompt=_user(f"T:{p.prompt[-1]['content']}"), answer=None, info={**p.info, "role": "test"})
            for p in coding
        ]
        sampling = Sampling(temperature=self.temperature)
        programs = context.policy.sample(coding, self.samples, sampling)
        tests = context.policy.sample(asked, self.tests, sampling)
        made, used = list[Rollout](), 0
        for prompt, own, checks in zip(coding, programs, tests, strict=True):
            marks = [context.verify(prompt, one.text) for one in own]
            if self.gold and (None in marks or len({*marks}) < 2):
                continue
            used += 1
            texts = [context.answer_of(one.text) or "" for one in own]
            table = [[_passes(text, check.text) for check in checks] for text in texts]
            if self.gold:
                right = [mark == 1.0 for mark in marks]
                worth = [_discernment([row[k] for row in table], right) for k in range(len(checks))]
                scores = [float(mark) for mark in right]
            else:
                worth = [sum(row[k] for row in table) / len(table) for k in range(len(checks))]
                scores = [sum(row) / len(row) for row in table]
            for name, rollouts, numbers in (("programs", own, scores), ("tests", checks, worth)):
                if name in self.train:
                    made += [self._scored(r, n, prompt) for r, n in zip(rollouts, numbers, strict=True)]
        stated = sum(_TEST.fullmatch(check.text.strip()) is not None for group in tests for check in group)
        context.log.metric("code_and_tests/used", used / max(1, len(coding)))
        context.log.metric("code_and_tests/readable_tests", stated / max(1, sum(map(len, tests))))
        return made

    def _scored(self, rollout: Rollout, score: float, prompt: Prompt) -> Rollout:
        return replace(rollout, reward=score, parents=(prompt.id,))


def _user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def _passes(program: str, test: str) -> bool:
    """Whether a program returns a test's output for its input; False if either cannot be read."""
    stated = _TEST.fullmatch(test.strip())
    return stated is not None and run(program, stated[1]) == stated[2]


def _discernment(passed: Sequence[bool], right: Sequence[bool]) -> float:
    """CURE's reward of a test, from the programs that pass it; needs both right and wrong programs."""
    fooled = [done for done, good in zip(passed, right, strict=True) if not good]
    if all(done for done, good in zip(passed, right, strict=True) if good):
        return 1 - sum(fooled) / len(fooled)
    return -sum(fooled) / len(fooled)
