"""The model writes a program, is told which tests it fails, and tries again; hidden tests decide what that was worth.

Idea: a program that is run says what is wrong with it. A model can learn to use that, if its reward depends on tests
  that it was not told about.
Survey: environment interaction, section 2.3.
Paper: arXiv:2410.02089 (RLEF), Gehring et al., 2024.
Algorithm:
  1. The first `public` tests of a problem are public, the others private. A problem without both is left out.
  2. Begin `samples` episodes with each problem. In a turn the model writes a program, which is run on the public tests;
     where one fails, the model is told which, what it gave and what was right, and has the next turn, up to `turns`.
  3. The last program of an episode is run on the private tests: +1 where it passes all, public ones too, else -1.
     A turn without a program costs 0.2.
  4. Give on every turn as the completion of the conversation before it; its score is the sum of what follows.
Differs: the paper trains by PPO with a value for each turn and a KL penalty for each token; here turns are records with
  a score, for any optimization that takes them. Its problems say which tests are public, here it is the first ones. The
  wording is ours. A turn without a program is told so.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.problems.code_rows import checks_of, program_of
from selfimprove.records import Message, Prompt, Record, Rollout, digest
from selfimprove.registry import register
from selfimprove.safety.sandbox.grading import Checks, Grade, grade
from selfimprove.safety.sandbox.jail_process import Limits
from selfimprove.safety.sandbox.open import shared

_UNREADABLE = 0.2
"""What a turn without a program costs, from the paper."""
_NO_PROGRAM = "There is no program in that. Write the whole program in one ```python block."
_FAILED = (
    "The program fails {failed} of {all} tests.\n{told}\nCorrect it: write the whole program in one ```python block."
)


@dataclass
class _Episode:
    """A conversation about one problem."""

    problem: Prompt
    checks: Checks
    said: list[Message]
    turns: list[Rollout] = field(default_factory=list)
    penalties: list[float] = field(default_factory=list)
    passed: bool = False

    def asked(self) -> Prompt:
        """What the model is asked next."""
        if not self.turns:
            return self.problem
        return replace(self.problem, prompt=list(self.said), parents=(self.problem.id,))


@register("code_episodes", paper="2410.02089")
@dataclass
class CodeEpisodes(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Rollout
    samples: int = bounded(4, 1)
    """Episodes with each problem."""
    turns: int = bounded(3, 1)
    """Programs that the model may write in an episode."""
    public: int = bounded(1, 1)
    """Tests of each problem whose outcomes the model is told."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature."""
    cpu_seconds: int = bounded(2, 1)
    """Computing time of a program; twice as much may pass on the clock."""
    memory_mb: int = bounded(512, 128)
    """Memory of a program."""

    def cost(self, given: Given) -> Cost:
        episodes = given.flow.records * self.samples
        return given.draw(episodes * self.turns) + Cost(calls=episodes * (self.turns + 1))

    def gives(self, given: Given) -> Flow:
        turns = given.flow.records * self.samples * self.turns
        return Flow(turns, turns, self.samples)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        known = [(problem, checks_of(problem.answer)) for problem in records]
        fit = [(problem, checks) for problem, checks in known if checks is not None and len(checks) > self.public]
        if not fit:
            raise RecipeError(
                "acquisition.code_episodes takes problems with more tests than are public: task=code, and "
                f"acquisition.code_episodes.public below {self.public + 1}"
            )
        episodes = [_Episode(p, checks, list(p.prompt)) for p, checks in fit for _ in range(self.samples)]
        open_ = episodes
        for turn in range(self.turns):
            open_ = self._turn(open_, turn == self.turns - 1, context)
        hidden = [one.checks.part(self.public, len(one.checks)) for one in episodes]
        ends = self._run([(_last(one), checks) for one, checks in zip(episodes, hidden, strict=True)])
        solved = [one.passed and end.status == "ok" for one, end in zip(episodes, ends, strict=True)]
        context.log.metric("code_episodes/solved", sum(solved) / len(episodes))
        context.log.metric("code_episodes/public_only", sum(e.passed for e in episodes) / len(episodes) - _mean(solved))
        context.log.metric("code_episodes/turns", sum(len(one.turns) for one in episodes) / len(episodes))
        context.log.metric("code_episodes/left_out", len(records) - len(fit))
        return [r for one, good in zip(episodes, solved, strict=True) for r in _scored(one, good)]

    def _turn(self, episodes: list[_Episode], final: bool, context: Context) -> list[_Episode]:
        """One more program in each episode; those that go on after it."""
        alike: dict[str, list[_Episode]] = {}
        for one in episodes:
            alike.setdefault(digest([one.problem.id, one.said]), []).append(one)
        for size in sorted({len(group) for group in alike.values()}):  # equal conversations are one prompt, drawn often
            groups = [group for group in alike.values() if len(group) == size]
            asked = [group[0].asked() for group in groups]
            drawn = context.policy.sample(asked, size, Sampling(temperature=self.temperature))
            for group, replies in zip(groups, drawn, strict=True):
                for one, reply in zip(group, replies, strict=True):
                    one.turns.append(reply)
        public = [one.checks.part(0, self.public) for one in episodes]
        grades = self._run([(_last(one), checks) for one, checks in zip(episodes, public, strict=True)])
        for one, found in zip(episodes, grades, strict=True):
            one.passed = found.status == "ok"
            one.penalties.append(0.0 if _last(one) else _UNREADABLE)
            one.said += [*one.turns[-1].completion, {"role": "user", "content": _feedback(found, bool(_last(one)))}]
        return [] if final else [one for one in episodes if not one.passed]

    def _run(self, work: Sequence[tuple[str, Checks]]) -> list[Grade]:
        """The grade of each program; without a program nothing is run."""
        if not work:
            return []
        sandbox = shared(Limits(cpu_seconds=self.cpu_seconds, memory=self.memory_mb << 20))
        none = Grade((), "error:no program")
        with ThreadPoolExecutor(sandbox.workers) as threads:
            return list(threads.map(lambda one: grade(sandbox, *one) if one[0] else none, work))


def _last(episode: _Episode) -> str:
    """The program of the last turn; "" where there is none."""
    return program_of(episode.turns[-1].text) or ""


def _feedback(found: Grade, program: bool) -> str:
    """What the model is told of its program."""
    if not program:
        return _NO_PROGRAM
    failed = [told for told, passed in zip(found.told, found.passed, strict=True) if not passed]
    told = "\n".join([*failed, *([f"It ended with {found.status}. {found.text}"] if found.status != "wrong" else [])])
    return _FAILED.format(failed=len(failed), all=len(found.passed), told=told)


def _scored(episode: _Episode, solved: bool) -> list[Rollout]:
    """The turns of an episode, each with the sum of the rewards from it on."""
    end = 1.0 if solved else -1.0
    return [
        replace(
            reply,
            reward=end - sum(episode.penalties[place:]),
            parents=(episode.problem.id,),
            info={**reply.info, "turn": place + 1, "turns": len(episode.turns)},
        )
        for place, reply in enumerate(episode.turns)
    ]


def _mean(marks: Sequence[bool]) -> float:
    return sum(marks) / len(marks)
