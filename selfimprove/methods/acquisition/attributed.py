"""Problems on a grid of attributes: each request names one value of each, so that the set covers all combinations.

Idea: a model that is asked for a problem again and again repeats its favourites. Requests that each name a topic, a
  length and a style, drawn from a grid, spread over what is wanted.
Survey: prompt-based generation, section 2.4.1.
Paper: arXiv:2306.15895 (AttrPrompt), Yu et al., 2023; the same idea in arXiv:2305.07759 (TinyStories).
Algorithm:
  1. The `attributes` are names with their values. For a name without values the model lists `values` of them, in the
     role values.
  2. Draw `problems` combinations. With `balanced` each comes equally often: the whole grid in a random order, again and
     again; else each is drawn at random.
  3. Ask for a problem with these features in the role attributed, with a given problem as an example.
  4. Drop replies without a problem, held-out problems, and problems whose key or wording is known.
  5. Return the new problems, with their attributes in `info`, after the given ones with `seeds`.
Differs: attributes that depend on a class, and the filter of values that give the class away, are left out: problems
  have answers, not classes. `attributed/followed` is the share of problems that have what was asked for, where it can
  be read: a note of the task by that name, such as level, or else the value as a word of the text.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.harvest import Harvest, items
from selfimprove.interfaces import Acquisition, Context, Sampling, Session
from selfimprove.measures.synthesis import evenness
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register
from selfimprove.text import beside, quoted

VALUES = (
    "This is an example of a kind of task:\n\n<task>\n{problem}\n</task>\n\nTasks of this kind differ in: {0}. List "
    "{1} values of it that are as different as possible, each a word or a few, numbered, one a line, and nothing else."
)


@register("attributed", paper="2306.15895")
@dataclass
class Attributed(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Prompt
    problems: int = bounded(1000, 1)
    """Replies per round."""
    attributes: dict[str, list[str]] = field(default_factory=dict)
    """Name -> values, such as {length: [short, long], topic: []}; the model lists the values of an empty one."""
    values: int = bounded(8, 2)
    """Values that the model lists for an attribute without any."""
    balanced: bool = True
    """Ask for each combination equally often; else draw them at random."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of the writer."""
    similarity: float = bounded(1.0, 0, 1)
    """Highest ROUGE-L with a known problem; 1 keeps every problem with a new key."""
    answers: bool = False
    """Keep the answer that the task computes, for the label precision and for rewards that use it."""
    seeds: bool = False
    """Return the given problems as well."""

    def preflight(self) -> list[str]:
        if not self.attributes:
            raise RecipeError(
                "acquisition.attributed.attributes is empty: name some, such as attributes={level: [3, 4], topic: []}"
            )
        return []

    def needs(self) -> Needs:
        return Needs(roles=("attributed", *(("values",) if self._open() else ())))

    def _open(self) -> list[str]:
        """The attributes whose values the model lists."""
        return [name for name, values in self.attributes.items() if not values]

    def cost(self, given: Given) -> Cost:
        return given.draw(self.problems + len(self._open()))

    def gives(self, given: Given) -> Flow:
        n = given.flow.records * self.seeds + self.problems
        return Flow(n, n)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        harvest, source = Harvest("attributed", records, context), Random(f"{context.seed}:attributes")
        if not records:
            return harvest.report()
        grid = {**self.attributes, **self._listed(records[0], harvest, context)}
        asked = [dict(zip(grid, one, strict=True)) for one in self._drawn([*grid.values()], source)]
        examples = source.choices(records, k=len(asked))
        text, sampling = beside(__name__, "attributed.txt"), Sampling(temperature=self.temperature)

        async def written(place: int, session: Session) -> Rollout:
            features = "\n".join(f"{name}: {value}" for name, value in asked[place].items())
            request = session.words("attributed", examples[place], features, otherwise=text)
            [reply] = await session.draw(request, 1, sampling, role="attributed")
            return reply

        found = list[bool]()
        for place, reply in enumerate(context.run(written, range(len(asked)))):
            harvest.paid([reply])
            problem, wanted = harvest.read(reply), asked[place]
            if problem is not None:
                found += [_has(problem, name, value) for name, value in wanted.items()]
            harvest.take(problem, answers=self.answers, parents=(examples[place].id,), info={"attributes": wanted})
        context.log.metric("attributed/followed", sum(found) / max(1, len(found)))
        kept = [tuple(one.info["attributes"].values()) for one in harvest.kept]
        full = min(1.0, evenness([*itertools.islice(itertools.cycle(itertools.product(*grid.values())), len(kept))]))
        context.log.metric("attributed/spread", evenness(kept) / full if full else 0.0)
        return [*(records if self.seeds else []), *harvest.report()]

    def _listed(self, example: Prompt, harvest: Harvest, context: Context) -> dict[str, list[str]]:
        """The values that the model lists for attributes without any; `any` where it lists none."""

        async def listed(name: str, session: Session) -> Rollout:
            request = session.words("values", example, name, str(self.values), otherwise=VALUES)
            [reply] = await session.draw(request, 1, Sampling(temperature=self.temperature), role="values")
            return reply

        made = dict[str, list[str]]()
        for name, reply in zip(self._open(), context.run(listed, self._open()), strict=True):
            harvest.paid([reply])
            made[name] = [*dict.fromkeys(filter(None, items(reply, self.values)))] or ["any"]
            context.log.note(f"attributed: {name} is one of {', '.join(made[name])[:200]}")
        return made

    def _drawn(self, values: Sequence[Sequence[str]], source: Random) -> list[tuple[str, ...]]:
        """The combinations to ask for."""
        if not self.balanced:
            return [tuple(source.choice(one) for one in values) for _ in range(self.problems)]
        grid, made = [*itertools.product(*values)], list[tuple[str, ...]]()
        while len(made) < self.problems:
            made += source.sample(grid, len(grid))
        return made[: self.problems]


def _has(problem: Prompt, name: str, value: str) -> bool:
    """Whether a problem has a feature, by the task's note of that name or by its words."""
    if name in problem.info:
        return str(problem.info[name]) == value
    return value.casefold() in quoted(problem.prompt).casefold()
