"""The model writes a program, sees which public tests fail, and tries again; private tests decide the reward.

Idea: running a program shows what is wrong with it. A model can learn to use this feedback if its reward depends on
  tests that it does not see.
Survey: environment interaction, section 2.3.
Paper: arXiv:2410.02089 (RLEF), Gehring et al., 2024.
Algorithm:
  1. The first `public` tests of a problem are public, the others private. A problem without both is left out.
  2. Start `samples` episodes for each problem. In each turn the model writes a program, which runs on the public tests.
     If one fails, the model sees it with the actual and the expected result and takes another turn, up to `turns`.
     With `turns: 0` the task opens its own environment instead, the one used in exams.
  3. The last program of an episode runs on the private tests: +1 if it passes all tests, public ones too, else -1.
     A turn without a program costs 0.2.
  4. Return every turn as a completion of the conversation before it; its reward is the sum of this and later rewards.
Differs: the paper trains with PPO, a value per turn and a KL penalty per token; here turns are records with a reward,
  for any optimization that takes them. Its problems name the public tests; here they are the first ones. The wording is
  ours. After a turn without a program the model is told so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.episodes import Played
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.problems.code_rows import checks_of
from selfimprove.problems.program_talk import ProgramTalk
from selfimprove.problems.program_text import program_of
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register
from selfimprove.safety.sandbox.jail_process import Limits

_UNREADABLE = 0.2
"""Reward of a turn without a program, from the paper."""


@register("code_episodes", paper="2410.02089")
@dataclass
class CodeEpisodes(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Rollout
    samples: int = bounded(4, 1)
    """Episodes for each problem."""
    turns: int = bounded(3, 0)
    """Most programs in an episode; 0 leaves turns, public tests and limits to the task."""
    public: int = bounded(1, 1)
    """Public tests of each problem, whose outcomes the model sees."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature."""
    cpu_seconds: int = bounded(2, 1)
    """CPU time of a program in seconds; the limit of wall time is twice as long."""
    memory_mb: int = bounded(512, 128)
    """Memory of a program in MB."""

    def cost(self, given: Given) -> Cost:
        episodes, turns = given.flow.records * self.samples, self.turns or given.replies
        return given.draw(episodes * turns) + Cost(calls=episodes * (turns + 1))

    def gives(self, given: Given) -> Flow:
        turns = given.flow.records * self.samples * (self.turns or given.replies)
        return Flow(turns, turns, self.samples)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        public = self.public if self.turns else 1
        fit = [one for one in records if (checks := checks_of(one.answer)) is not None and len(checks) > public]
        if not fit:
            raise RecipeError(
                "acquisition.code_episodes takes problems with more tests than are public: task=code, and "
                f"acquisition.code_episodes.public below {public + 1}"
            )
        how = {"world": self._open, "turns": self.turns} if self.turns else {}
        played = context.play(fit, self.samples, sampling=Sampling(temperature=self.temperature), **how)
        if not any("passed" in one.noted for one in played):  # a world of programs says so of each
            raise RecipeError("acquisition.code_episodes.turns is 0, and the task asks once: set task.code.turns=3")
        solved = [one.rollout.reward == 1.0 for one in played]
        passed = [bool(one.noted.get("passed")) for one in played]
        context.log.metric("code_episodes/solved", sum(solved) / len(played))
        context.log.metric("code_episodes/public_only", (sum(passed) - sum(solved)) / len(played))
        context.log.metric("code_episodes/turns", sum(len(one.drawn) for one in played) / len(played))
        context.log.metric("code_episodes/left_out", len(records) - len(fit))
        problems = [problem for problem in fit for _ in range(self.samples)]
        return [
            rollout
            for one, problem, good in zip(played, problems, solved, strict=True)
            for rollout in _scored(one, problem, good)
        ]

    def _open(self, problem: Prompt) -> ProgramTalk:
        checks, limits = checks_of(problem.answer), Limits(cpu_seconds=self.cpu_seconds, memory=self.memory_mb << 20)
        assert checks is not None
        return ProgramTalk(problem, checks, self.public, self.turns, limits)


def _scored(played: Played, problem: Prompt, solved: bool) -> list[Rollout]:
    """The turns of an episode, each with the sum of the rewards from it on."""
    checks = checks_of(problem.answer)
    penalties = [0.0 if program_of(reply.text, checks) else _UNREADABLE for reply in played.drawn]
    end, turns = 1.0 if solved else -1.0, len(played.drawn)
    asked = [
        replace(problem, prompt=reply.prompt.prompt, parents=(problem.id,)) if place else problem
        for place, reply in enumerate(played.drawn)
    ]
    return [
        replace(
            reply,
            prompt=asked[place],
            reward=end - sum(penalties[place:]),
            parents=(problem.id,),
            info={**reply.info, "turn": place + 1, "turns": turns},
        )
        for place, reply in enumerate(played.drawn)
    ]
