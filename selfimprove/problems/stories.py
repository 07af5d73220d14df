"""Short school problems in English: the words of a story, and the numbers in it.

`Ann has 3 nuts, finds 5, reads 4 pages, eats 2. How many?` asks for 3+5-2. What she reads is an aside. All numbers on
the way have one digit.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

NAMES = ("Ann", "Ben", "Eva", "Max", "Sue", "Tom")
THINGS = ("nuts", "pens", "figs", "cups", "eggs", "keys")
GAINS = ("finds", "gets", "buys", "wins", "adds")
LOSSES = ("eats", "loses", "sells", "drops", "uses")
ASIDES = {"reads": "pages", "knows": "boys", "meets": "cats", "paints": "mugs"}
"""Clauses that do not matter, with what they count. All verbs begin with different letters."""
MOST_STEPS = len(GAINS)
LARGEST = 9
_STORY = re.compile(r"([A-Z][a-z]+) has (\d) ([a-z]+)((?:, [a-z]+ \d(?: [a-z]+)?)+)\. How many\?")
_CLAUSE = re.compile(r", ([a-z]+) (\d)(?: ([a-z]+))?")
_KEY = re.compile(r"\d([+-]\d)+")


class Step(NamedTuple):
    """What happens to the number of things, such as ("+", 5)."""

    sign: str
    by: int

    def after(self, total: int) -> int:
        """The number of things after it."""
        return total + self.by if self.sign == "+" else total - self.by


@dataclass(frozen=True)
class Story:
    """A problem in words."""

    name: str
    thing: str
    start: int
    clauses: tuple[tuple[str, int], ...]
    """Verbs with their numbers, those that do not matter among them."""

    def __str__(self) -> str:
        said = (f", {verb} {n}" + (f" {ASIDES[verb]}" if verb in ASIDES else "") for verb, n in self.clauses)
        return f"{self.name} has {self.start} {self.thing}{''.join(said)}. How many?"

    @property
    def verbs(self) -> list[str]:
        """The verbs that matter, in order."""
        return [verb for verb, _ in self.clauses if verb not in ASIDES]

    @property
    def steps(self) -> list[Step]:
        """What happens to the number of things, in order."""
        return [Step("+" if verb in GAINS else "-", n) for verb, n in self.clauses if verb not in ASIDES]

    @property
    def key(self) -> str:
        """The sum without words; all wordings of a problem share it."""
        return sum_of(self.start, self.steps)


def sum_of(start: int, steps: Sequence[Step]) -> str:
    """Such as 3+5-2."""
    return f"{start}{''.join(f'{sign}{by}' for sign, by in steps)}"


def through(on_the_way: Sequence[int]) -> str:
    """The sum that goes through these numbers of things, from the start to the end."""
    pairs = pairwise(on_the_way)
    return sum_of(on_the_way[0], [Step("+" if after > total else "-", abs(after - total)) for total, after in pairs])


def numbers(key: str) -> tuple[int, list[Step]]:
    """The start and the steps of a sum such as 3+5-2."""
    return int(key[0]), [Step(sign, int(by)) for sign, by in re.findall(r"([+-])(\d)", key)]


def totals(start: int, steps: Sequence[Step]) -> list[int]:
    """The numbers of things from the start to the end."""
    made = [start]
    for step in steps:
        made.append(step.after(made[-1]))
    return made


def fits(start: int, steps: Sequence[Step]) -> bool:
    """Whether all numbers on the way have one digit, and each step changes something."""
    return all(by for _, by in steps) and all(0 <= total <= LARGEST for total in totals(start, steps))


def told(key: str, asides: int, source: random.Random) -> Story:
    """A wording of a sum, in which no verb comes twice.

    Args:
        asides: clauses that do not matter.
    """
    start, steps = numbers(key)
    verbs = {"+": source.sample(GAINS, len(GAINS)), "-": source.sample(LOSSES, len(LOSSES))}
    clauses = [(verbs[sign].pop(), by) for sign, by in steps]
    for verb in source.sample([*ASIDES], asides):
        clauses.insert(source.randint(0, len(clauses)), (verb, source.randint(1, LARGEST)))
    return Story(source.choice(NAMES), source.choice(THINGS), start, tuple(clauses))


def read(text: str) -> Story | None:
    """The story in a text that is one and nothing else; None if it cannot be, or its numbers do not fit."""
    found = _STORY.fullmatch(text)
    if found is None or found[1] not in NAMES or found[3] not in THINGS:
        return None
    parts = _CLAUSE.findall(found[4])
    known = all(verb in GAINS or verb in LOSSES if not thing else ASIDES.get(verb) == thing for verb, _, thing in parts)
    story = Story(found[1], found[3], int(found[2]), tuple((verb, int(n)) for verb, n, _ in parts))
    apart = len({verb for verb, _ in story.clauses}) == len(parts)
    return story if known and apart and story.steps and fits(story.start, story.steps) else None


def sums(length: int, source: random.Random) -> Iterator[str]:
    """All sums with so many steps that fit, in a random order, without repetition."""
    size, seen = (LARGEST + 1) * LARGEST**length, set[int]()
    while len(seen) < size:
        number = source.randrange(size)
        if number in seen:
            continue
        seen.add(number)
        number, start = divmod(number, LARGEST + 1)
        on_the_way = [start]
        for _ in range(length):
            number, other = divmod(number, LARGEST)
            on_the_way.append(other + (other >= on_the_way[-1]))  # the next number, which is another one
        yield through(on_the_way)
