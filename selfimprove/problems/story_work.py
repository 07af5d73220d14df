"""Worked solutions of school problems by somebody who knows only a part of the table: recalled, counted, or wrong.

`f3+5=8;e8-2=6#6` recalls each result, `:f3+5:45678=8;e8-2:76=6#6` counts to it. Its first character says which, so the
likeliest way is chosen before any result is seen.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfimprove.problems.stories import LARGEST, Step, Story, fits, numbers, totals

Entry = tuple[int, Step]
"""A total and what happens to it."""
TABLE: tuple[Entry, ...] = tuple(
    (a, Step("+" if b > a else "-", abs(b - a))) for a in range(LARGEST + 1) for b in range(LARGEST + 1) if a != b
)
CLAIM = re.compile(r"(\d)([+-])(\d)(?::\d*)?=(\d)")
"""A step of a solution: its total, sign and number, and the result that it claims."""


@dataclass(frozen=True)
class Work:
    """How solutions are written.

    Args:
        hidden: entries of the table that are not known.
        counted_share: chance that a solution counts.
        counted_right: chance that counting a hidden entry is right; else it is off by one.
        alike: recalling a hidden entry gives always the same wrong result; else a random one.
    """

    hidden: frozenset[Entry]
    counted_share: float
    counted_right: float
    alike: bool

    def touches(self, key: str) -> bool:
        """Whether the right way through a sum uses a hidden entry."""
        start, steps = numbers(key)
        return any(entry in self.hidden for entry in zip(totals(start, steps), steps, strict=False))

    def solution(self, story: Story, source: random.Random) -> str:
        """A worked solution, which may be wrong on hidden entries."""
        return self._written(story, source, -1)

    def counted(self, story: Story, source: random.Random) -> str:
        """A worked solution that counts."""
        return replace(self, counted_share=1.0).solution(story, source)

    def part(self, total: int, step: Step, source: random.Random) -> str:
        """The result of one step, counted to: `76=6`."""
        after = self._result(total, step, (), source, True)
        return f"{_way(total, step.sign, after)}={after}"

    def slipped(self, story: Story, source: random.Random) -> str:
        """A worked solution with one step that is wrong though its entry may be known."""
        return self._written(story, source, source.randrange(len(story.steps)))

    def _written(self, story: Story, source: random.Random, slip: int) -> str:
        counts, total, said = source.random() < self.counted_share, story.start, list[str]()
        for place, (verb, step) in enumerate(zip(story.verbs, story.steps, strict=True)):
            after = self._result(total, step, story.steps[place + 1 :], source, counts)
            if place == slip:
                others = [one for one in _fitting(story.steps[place + 1 :]) if one not in (total, step.after(total))]
                after = source.choice(others) if others else after
            way = f":{_way(total, step.sign, after)}" if counts else ""
            said.append(f"{verb[0]}{total}{step.sign}{step.by}{way}={after}")
            total = after
        return f"{':' if counts else ''}{';'.join(said)}#{total}"

    def _result(self, total: int, step: Step, rest: Sequence[Step], source: random.Random, counts: bool) -> int:
        """What is written as the result of a step; it lets the rest of the story go on with one digit."""
        right = step.after(total)
        if (total, step) not in self.hidden:
            return right
        if counts:
            near = [one for one in (right - 1, right + 1) if one != total and one in _fitting(rest)]
            return source.choice(near) if near and source.random() >= self.counted_right else right
        if self.alike:
            usual = sorted(
                set(_fitting(rest)) - {right, total}, key=lambda one: (abs(one - right), (one + step.by) % 3)
            )
            return usual[0] if usual else right
        return source.choice(_fitting(rest))


def solved_with(story: Story, known: Sequence[str]) -> str:
    """The recalled solution, with the results of some steps as somebody else gave them, such as `8-2=6`."""
    given = {(int(a), Step(sign, int(by))): int(after) for a, sign, by, after in CLAIM.findall(" ".join(known))}
    total, said = story.start, list[str]()
    for verb, step in zip(story.verbs, story.steps, strict=True):
        after = given.get((total, step), step.after(total))
        said.append(f"{verb[0]}{total}{step.sign}{step.by}={after}")
        total = after
    return f"{';'.join(said)}#{total}"


def claims(attempt: str) -> list[tuple[str, int, int]]:
    """The steps of an attempt: (sum, claimed result, right result)."""
    return [
        (f"{a}{sign}{by}", int(after), Step(sign, int(by)).after(int(a)))
        for a, sign, by, after in CLAIM.findall(attempt)
    ]


def entries(attempt: str) -> list[Entry]:
    """The entries of the table that an attempt uses."""
    return [(int(a), Step(sign, int(by))) for a, sign, by, _ in CLAIM.findall(attempt)]


def verdict(attempt: str) -> str:
    """For each step the claim, the right result and y or n, then the judgement of the whole: `8-2=5:6n#n`."""
    said = [f"{asked}={made}:{right}{'y' if made == right else 'n'}" for asked, made, right in claims(attempt)]
    return f"{';'.join(said)}#{'y' if all(made == right for _, made, right in claims(attempt)) else 'n'}"


def corrections(attempt: str) -> str:
    """The wrong steps with their right results, then n; of a right attempt only y: `8-2=6#n`."""
    wrong = [f"{asked}={right}" for asked, made, right in claims(attempt) if made != right]
    return f"{';'.join(wrong)}#{'n' if wrong else 'y'}"


def _fitting(rest: Sequence[Step]) -> list[int]:
    """The totals from which the rest of a story keeps to one digit."""
    return [total for total in range(LARGEST + 1) if fits(total, rest)]


def _way(total: int, sign: str, after: int) -> str:
    """The digits that are passed in counting from one total to another; in the wrong direction only the end."""
    way = range(total + 1, after + 1) if sign == "+" else range(total - 1, after - 1, -1)
    return "".join(map(str, way)) or str(after)
