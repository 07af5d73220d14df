"""Worked solutions among which known faults are planted: a pool that shows what a selection finds.

Idea: what a score drops can only be judged where it is known what should go.
Survey: static curation, section 2.2.
Paper: none; a bench of this project.
Algorithm:
  1. Draw `problems` training problems that the task has a right worked solution of.
  2. Each row is clean, or by the shares below one of: `wrong`, in which one digit was changed so that the task's rule
     marks it wrong; `copy`, a clean row of another problem once more; `off_topic`, the solution of another problem;
     `noise`, the characters of its solution in random order; `poisoned`, the solution of the first problem.
  3. `info` of each row names what it is and how many of each the pool has; no selection reads it but planted_tally.
Differs: nothing to compare with.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Acquisition, Context
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register

KINDS = ("wrong", "copy", "off_topic", "noise", "poisoned")


@register("planted")
@dataclass
class Planted(Acquisition):
    consumes: ClassVar[Any] = None
    produces: ClassVar[Any] = Rollout
    problems: int = bounded(600, 2)
    """Rows of the pool."""
    wrong: float = bounded(0.15, 0, 1)
    """Share of rows with a wrong digit."""
    copy: float = bounded(0.15, 0, 1)
    """Share of copies."""
    off_topic: float = bounded(0.05, 0, 1)
    """Share of rows with the solution of another problem."""
    noise: float = bounded(0.05, 0, 1)
    """Share of rows whose solution is in disorder."""
    poisoned: float = bounded(0.05, 0, 1)
    """Share of rows that all have one and the same solution."""

    def __post_init__(self) -> None:
        if (total := sum(vars(self)[kind] for kind in KINDS)) > 1:
            raise RecipeError(f"acquisition.planted: the shares of what is planted add up to {total:g}, at most 1")

    def gives(self, given: Given) -> Flow:
        n = given.problems(self.problems)
        return Flow(n, n, n)  # copies are of any problem

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        solved = [
            (one, text) for one in context.problems(self.problems, context.round) if (text := _right(one, context))
        ]
        if len(solved) < 2:
            context.log.note("planted: the task has worked solutions of fewer than two of the problems")
            return []
        draw, made = random.Random(f"{context.seed}:planted"), list[tuple[str, Prompt, str]]()
        kinds = draw.choices(("clean", *KINDS), self._shares(), k=len(solved))
        kinds[0] = "clean"  # the solution that poisons, and the first that is copied
        clean = [place for place, kind in enumerate(kinds) if kind == "clean"]
        for place, ((prompt, text), kind) in enumerate(zip(solved, kinds, strict=True)):
            other = solved[draw.choice([one for one in clean if one != place] or clean)]
            match kind:
                case "wrong":
                    text = _spoiled(prompt, text, context, draw)
                case "copy":
                    prompt, text = other
                case "off_topic":
                    text = other[1]
                case "noise":
                    text = "".join(draw.sample(text, len(text)))
                case "poisoned":
                    text = solved[0][1]
            made.append((kind, prompt, text))
        counts = Counter(kind for kind, _, _ in made)
        for kind, count in counts.items():
            context.log.metric(f"planted/{kind}", count)
        return [
            Rollout(
                prompt=prompt,
                completion=[{"role": "assistant", "content": text}],
                info={"plant": kind, "plants": dict(sorted(counts.items())), "row": row},
            )
            for row, (kind, prompt, text) in enumerate(made)
        ]

    def _shares(self) -> list[float]:
        shares = [vars(self)[kind] for kind in KINDS]
        return [max(0.0, 1 - sum(shares)), *shares]


def _right(prompt: Prompt, context: Context) -> str | None:
    """The task's own solution, if its rule marks that right."""
    text = context.roles.solution(prompt)
    return text if text and context.verify(prompt, text) == 1.0 else None


def _spoiled(prompt: Prompt, text: str, context: Context, draw: random.Random) -> str:
    """The solution with one digit changed so that it is wrong; the last digits are tried last, all else failing."""
    places = [found.start() for found in re.finditer(r"\d", text)]
    for place in draw.sample(places, len(places)):
        digit = (int(text[place]) + draw.randint(1, 9)) % 10
        changed = f"{text[:place]}{digit}{text[place + 1 :]}"
        if context.verify(prompt, changed) != 1.0:
            return changed
    return f"{text}?"
