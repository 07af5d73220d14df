"""Searches chains of other refinements on selection problems, and answers with the best one.

Idea: which refinements help, and in which order, differs from model to model and from task to task. It can be searched
  like anything else that has a measure: in small changes of what did well.
Survey: workflows, section 5.4.
Paper: arXiv:2410.10762 (AFlow), Zhang et al., 2024.
Algorithm:
  1. A workflow is a chain of at most `length` of the `operators`, such as `self_consistency:samples=8`. Each takes its
     attempts from the one before it; the empty chain is one attempt.
  2. In `fit` try the empty chain and the best chain of before on `problems` selection problems.
  3. Draw a parent among the empty chain and the best three others: with the share s of right answers in percent, of n
     parents one has the probability .3 / n + .7 * softmax(.2 * s).
  4. Change it into a chain that was not tried: put an operator anywhere, leave one out, or replace one. Try that.
  5. Repeat from 3 until `workflows` chains are tried. The best one stays; of equal ones the cheaper, then the first.
Differs: the paper's workflows are code, and a model writes the changes; here the operators are the project's methods
  and changes are drawn, so a workflow cannot do what its operators may not. The same problems serve all workflows. The
  constants of step 3 are those of its code.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from selfimprove import registry
from selfimprove.bounds import bounded
from selfimprove.costs import NOTHING, Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register

Chain = tuple[int, ...]
"""Places of operators."""
PARENTS, UNIFORM, SHARP = 3, 0.3, 0.2


@register("workflow_search", paper="2410.10762")
@dataclass
class WorkflowSearch(Refinement):
    operators: list[str] = field(
        default_factory=lambda: ["greedy", "self_consistency:samples=4", "revise", "best_of_n"]
    )
    """Refinements that a workflow may have, only such as learn nothing. With `NAME:OPTION=VALUE,OPTION=VALUE` they have
    other options than their defaults."""
    length: int = bounded(2, 1, 4)
    """Most operators of a workflow."""
    workflows: int = bounded(8, 1)
    """Budget of each `fit` in workflows that are tried, the empty one included."""
    problems: int = bounded(32, 1)
    """Selection problems that each of them answers."""

    def __post_init__(self) -> None:
        self._methods = [_method(said) for said in self.operators]
        if not self._methods:
            raise RecipeError(
                "refinement.workflow_search.operators is empty: name refinements, such as self_consistency"
            )

    def needs(self) -> Needs:
        return sum((method.needs() for method in self._methods), Needs())

    def cost(self, given: Given) -> Cost:
        chains = _chains(len(self._methods), self.length)
        return Cost._make(map(max, zip(*(self._price(chain, given) for chain in chains), strict=True)))

    def fit_cost(self, given: Given) -> Cost:
        return self.workflows * self.problems * self.cost(given)

    def fit(self, context: Context) -> dict[str, Any]:
        asked, chance = context.selection(self.problems), random.Random(context.seed)
        context.log.note(f"workflow_search: tries {self.workflows} workflows on {len(asked)} problems each")
        tried: dict[Chain, float] = {}
        for chain in ((), self._known(context.state.get("workflow", []))):
            if len(tried) < self.workflows and chain not in tried:
                tried[chain] = self._share(context, chain, asked)
        while len(tried) < self.workflows and (chain := self._next(tried, chance)) is not None:
            tried[chain] = self._share(context, chain, asked)
        given = Given(length=context.policy.engine.longest())
        best = max(tried, key=lambda chain: (tried[chain], -self._price(chain, given).tokens))
        context.log.metric("workflow_search/tried", len(tried))
        context.log.metric("workflow_search/gain", tried[best] - tried[()])
        said = {chain: [self.operators[place] for place in chain] for chain in tried}
        return {"workflow": said[best], "tried": [[said[chain], share] for chain, share in tried.items()]}

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await self._answered(prompt, self._known(session.state.get("workflow", [])), session)

    async def _answered(self, prompt: Prompt, chain: Chain, session: Session) -> Rollout:
        return await session.through(prompt, [self._methods[place] for place in chain])

    def _share(self, context: Context, chain: Chain, asked: Sequence[Prompt]) -> float:
        """The share of right answers of a workflow."""

        async def marked(prompt: Prompt, session: Session) -> float:
            return session.mark(await self._answered(prompt, chain, session)) or 0.0

        return math.fsum(context.run(marked, asked)) / max(1, len(asked))

    def _next(self, tried: dict[Chain, float], chance: random.Random) -> Chain | None:
        """A change of a good workflow that was not tried; None if there is none of any."""
        others = sorted((chain for chain in tried if chain), key=lambda chain: -tried[chain])[:PARENTS]
        parents = {chain: [one for one in self._changed(chain) if one not in tried] for chain in ((), *others)}
        open_ = [chain for chain, changes in parents.items() if changes]
        if not open_:
            return None
        powers = [math.exp(SHARP * 100 * (tried[chain] - max(tried.values()))) for chain in open_]
        weights = [UNIFORM / len(open_) + (1 - UNIFORM) * power / math.fsum(powers) for power in powers]
        [parent] = chance.choices(open_, weights)
        return chance.choice(parents[parent])

    def _changed(self, chain: Chain) -> list[Chain]:
        """What one change makes of a workflow, each once."""
        made = [chain[:place] + chain[place + 1 :] for place in range(len(chain))]
        for new in range(len(self._methods)):
            made += [(*chain[:place], new, *chain[place + 1 :]) for place in range(len(chain))]
            if len(chain) < self.length:
                made += [(*chain[:place], new, *chain[place:]) for place in range(len(chain) + 1)]
        return list(dict.fromkeys(made))

    def _price(self, chain: Chain, given: Given) -> Cost:
        """The most that an answer of a workflow takes."""
        attempt = given.attempt if given.attempt != NOTHING else given.draw()
        for place in chain:
            attempt = self._methods[place].cost(replace(given, attempt=attempt))
        return attempt

    def _known(self, said: Sequence[str]) -> Chain:
        """The workflow of these operators; the empty one if there are others now."""
        there = all(one in self.operators for one in said) and len(said) <= self.length
        return tuple(self.operators.index(one) for one in said) if there else ()


def _chains(operators: int, length: int) -> Iterator[Chain]:
    """All chains."""
    return itertools.chain.from_iterable(itertools.product(range(operators), repeat=n) for n in range(length + 1))


def _method(said: str) -> Refinement:
    """The refinement that an operator names.

    Raises:
        RecipeError: there is none, it has no such option, or it learns something.
    """
    place = "refinement.workflow_search.operators"
    name, _, options = said.partition(":")
    found, values = registry.find("refinement", name).method, dict[str, Any]()
    for option, equals, value in (one.partition("=") for one in options.split(",") if one):
        if not equals or option not in registry.option_names(found):
            raise RecipeError(f"{place}: {said!r}: {name} has no option {option!r}; write {name}:OPTION=VALUE")
        try:
            values[option] = json.loads(value)
        except ValueError:
            values[option] = value
    method = found(**values)
    if method.joint or method.fit_cost(Given(selection=1)) != NOTHING:
        raise RecipeError(f"{place}: {name} learns in fit or from whole sets; name it in the recipe's chain instead")
    return method
