"""School problems in a few English words, solved in two ways of which one is right more often: a bench of refinements.

Idea: `Ann has 3 nuts, finds 5, reads 4 pages, eats 2. How many?` is answered `f3+5=8;e8-2=6#6`: each step begins with
  the first letter of its verb. Worked examples recall results, or count to them: `:f3+5:45678=8;e8-2:76=6#6`. A
  hidden share of the results (the gap) is not recalled right, but mostly counted right. Recalling is likelier, and a
  solution commits to one of both at its first character: votes, search, judges and tools find what greedy misses.
Survey: verifiable problems with difficulty levels, sections 2.4 and 6; refinements, section 5.
Paper: none; a bench of this project.
Algorithm:
  1. A problem is a sum of one-digit numbers, whose partial sums have one digit too. Its level is the number of
     steps, its key the sum, so all wordings of it are in one split, see `problems/splits.py`.
  2. A worked solution counts with probability `counted_share`, else it recalls. On a hidden step recalling gives a
     random result, or always the same wrong one with `slips: alike`; counting is right with probability
     `counted_right`, else off by one.
  3. So on hidden problems the right answer is the most frequent one, and votes win; with `slips: alike` it is rarer
     than one wrong answer, and votes lose.
  4. In the role follow, which sees a plan, all solutions count; in repair the right results of wrong steps are
     shown.
  5. A variant is another wording (same answer) or comes to another end, with the same split and use of the gap.
Differs: nothing to compare with.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice, takewhile, zip_longest

from selfimprove.bounds import bounded
from selfimprove.episodes import Tool
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Task
from selfimprove.problems import splits, stories
from selfimprove.problems.calculator import Calculator
from selfimprove.problems.splits import split_of
from selfimprove.problems.story_lessons import Lessons
from selfimprove.problems.story_words import StoryRoles
from selfimprove.problems.story_work import TABLE, Work
from selfimprove.problems.story_writing import ROLES
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register

TAUGHT = (
    *("solve", "hint", "propose", "judge", "sure", "refine", "critique", "repair", "reflect"),
    *("plan", "follow", "split", "part", "conclude", "combine", "choose", "instructed", "instruct"),
    *ROLES,
)
"""Roles with worked examples."""


@register("word_problems")
@dataclass
class WordProblems(Task):
    min_length: int = bounded(3, 1, stories.MOST_STEPS)
    """Steps of the shortest problem."""
    max_length: int = bounded(4, 1, stories.MOST_STEPS)
    """Steps of the longest problem."""
    asides: int = bounded(1, 0, len(stories.ASIDES))
    """Clauses of each problem that do not matter."""
    level: int | None = None
    """Steps of this round's training problems; null mixes all lengths. A curriculum sets this option."""
    gap_share: float = bounded(0.2, 0, 0.9)
    """Share of the results that worked examples never recall."""
    gap_seed: int = 0
    """Seed that chooses them."""
    slips: str = "spread"
    """What recalling a hidden result gives: `spread`, a random one, or `alike`, always the same wrong one."""
    counted_share: float = bounded(0.45, 0, 1)
    """Share of the worked solutions that count."""
    counted_right: float = bounded(0.85, 0, 1)
    """Chance that counting a hidden result is right."""
    judged_gap: bool = False
    """Teach the roles judge and sure hidden results too, so that the model recognizes what it cannot recall."""

    def __post_init__(self) -> None:
        if not self.min_length <= self.max_length:
            raise RecipeError("task.word_problems needs min_length <= max_length")
        if self.slips not in ("spread", "alike"):
            raise RecipeError(f"task.word_problems.slips takes spread or alike, not {self.slips!r}")
        table = [*TABLE]
        random.Random(self.gap_seed).shuffle(table)
        hidden = frozenset(table[: round(self.gap_share * len(table))])
        self.work = Work(hidden, self.counted_share, self.counted_right, self.slips == "alike")
        self._drawn: dict[tuple[str, int], tuple[list[str], Iterator[str]]] = {}

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        splits.check(split)
        n = 1500 if n is None else n
        drawn, rest = self._drawn.setdefault((split, seed), ([], self._order(split, seed)))
        drawn.extend(islice(rest, max(0, (part[0] + 1) * n - len(drawn))))
        return [self.posed(self._told(key)) for key in drawn[part[0] * n : (part[0] + 1) * n]]

    def verify(self, prompt: Prompt, text: str) -> float | None:
        return None if prompt.answer is None else float(self.answer_of(text) == prompt.answer)

    def answer_of(self, text: str) -> str | None:
        return next(iter(re.findall(r"#(\d)$", text)), None)

    def roles(self) -> StoryRoles:
        return StoryRoles(self.work, self.posed, self.max_length)

    def tools(self, problem: Prompt) -> Mapping[str, Tool]:
        return {"calculator": Calculator()}

    def variants(self, prompt: Prompt, kind: str, n: int, seed: int) -> list[Prompt]:
        source, made = random.Random(f"{seed}:{kind}:{prompt.key}"), dict[str, Prompt]()
        own = self.posed(self._told(prompt.key))
        for _ in takewhile(lambda _: len(made) < n, range(100 * n)):
            key = prompt.key if kind == "same" else _changed(prompt.key, source)
            alike = split_of(key) == split_of(prompt.key) and self.work.touches(key) == self.work.touches(prompt.key)
            if alike and stories.fits(*stories.numbers(key)):
                other = self.posed(stories.told(key, self.asides, source))
                if other.prompt != prompt.prompt and (kind == "same") == (other.answer == own.answer):
                    made[other.prompt[0]["content"] if kind == "same" else key] = other
        return list(made.values())

    def probes(self) -> dict[str, Task]:
        known = {"probe/taught": _Taught(**asdict(replace(self, level=None)))}
        if self.max_length == stories.MOST_STEPS:
            return {**known}
        longer = replace(self, level=None, min_length=self.max_length + 1, max_length=self.max_length + 1)
        return {**known, "ood/longer": longer}

    def demonstrations(self, role: str, n: int, seed: int) -> list[Rollout]:
        """n worked examples of a role for the bootstrap, from the training split; hidden results stay hidden."""
        if role not in TAUGHT:
            raise RecipeError(f"task word_problems has no role {role!r}; it has {', '.join(TAUGHT)}")
        source, examples = random.Random(f"{seed}:{role}"), list[Rollout]()
        lessons = Lessons(self.roles(), self.judged_gap)
        keys = {length: self._stream("train", length, seed) for length in range(1, self.max_length + 1)}
        while len(examples) < n:
            longest = 1 + int(min(1.0, 3 * len(examples) / n) * (self.max_length - 1))  # short problems first
            length = longest if source.random() < 0.5 else source.randint(1, longest)
            key = next(keys[length], None)
            if key is None:
                keys[length] = self._stream("train", length, source.randrange(1 << 30))
                continue
            story = stories.told(key, source.randint(0, self.asides), source)
            if lesson := lessons.of(role, story, source):
                asked = Prompt(prompt=lesson[0], key=key)
                examples.append(Rollout(prompt=asked, completion=[{"role": "assistant", "content": lesson[1]}]))
        return examples

    def posed(self, story: stories.Story) -> Prompt:
        """The problem of a story."""
        answer = str(stories.totals(story.start, story.steps)[-1])
        asked, info = self.roles().solve(str(story)), {"level": len(story.steps)}
        return Prompt(prompt=asked, answer=answer, key=story.key, info=info)

    def _told(self, key: str) -> stories.Story:
        """The usual wording of a sum."""
        return stories.told(key, self.asides, random.Random(key))

    def _order(self, split: str, seed: int) -> Iterator[str]:
        """The sums of a split: one of each length in turn; an exhausted length drops out."""
        lengths = [self.level] if split == "train" and self.level else range(self.min_length, self.max_length + 1)
        return filter(None, chain.from_iterable(zip_longest(*(self._stream(split, size, seed) for size in lengths))))

    def _stream(self, split: str, length: int, seed: int) -> Iterator[str]:
        """The sums of one length and split in a random order, without repetition."""
        source = random.Random(f"{seed}:{split}:{length}")
        return (key for key in stories.sums(length, source) if split_of(key) == split)


@dataclass
class _Taught(WordProblems):
    """Problems without hidden results: the bootstrap taught them, and training may unlearn them."""

    def _stream(self, split: str, length: int, seed: int) -> Iterator[str]:
        return (key for key in super()._stream(split, length, seed) if not self.work.touches(key))


def _changed(key: str, source: random.Random) -> str:
    """A sum with another end, and another number of things once on the way to it."""
    on_the_way = stories.totals(*stories.numbers(key))
    for place in (-1, source.randrange(len(on_the_way) - 1)):
        on_the_way[place] = source.randint(0, stories.LARGEST)
    return stories.through(on_the_way)
