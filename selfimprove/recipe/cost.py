"""Estimate the cost of a recipe from its methods' declarations: completions, scores, tokens, training steps.

No model is loaded, and nothing here knows a method. Methods declare what they pass on (`Flow`) and what they cost
(`Cost`); this module adds it up for the planned rounds, exams and audits.
"""

from __future__ import annotations

import math
import sys
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from selfimprove.costs import NOTHING, Cost, Flow, Given
from selfimprove.interfaces import Judging
from selfimprove.recipe.legs import Leg, legs_of
from selfimprove.recipe.schema import Recipe
from selfimprove.records import Rollout

RECORD = 700
"""Bytes per completion in a run folder, in addition to its text."""
EXACT = 1000
"""Rounds that are added up one by one."""


@dataclass
class Estimate:
    """The estimated cost of a run by part."""

    parts: dict[str, Cost] = field(default_factory=dict)
    """`start` (the start model, unless it is cached), `data`, `training`, `evaluation`, `audit`, `exam`."""
    bound: bool = True
    """Whether the figures are upper bounds; otherwise they are expectations for the recipe as it is."""
    remarks: list[str] = field(default_factory=list)
    """Notes on the assumptions behind the figures."""
    disk: int | None = None
    """Approximate bytes of the run folder; None if the size of the weights is unknown."""

    @property
    def run(self) -> Cost:
        """All parts except the start: the cost that the steps of the run folder record."""
        return sum((cost for name, cost in self.parts.items() if name != "start"), NOTHING)


def estimate(recipe: Recipe) -> Estimate:
    """Add up the declared costs of a recipe's methods for all planned rounds."""
    made, rounds, task = Estimate(), recipe.rounds, recipe.the("task")
    given, later = _given(recipe), _turned_up(recipe, made)
    most = _given(later)
    made.parts["start"] = recipe.the("model").cost(given)
    data, trained, records, first = _all_rounds(recipe, later)
    training = sum(trained.values(), NOTHING)
    made.parts |= {"data": data, "training": training}
    if recipe.parts:
        told = ", ".join(f"{role} {cost.steps:,}" for role, cost in trained.items())
        made.remarks.append(f"training steps of each part, at most: {told}")
    fitted = (rounds + 1) * sum((method.fit_cost(most) for method in later.refinement.values()), NOTHING)
    provisional = recipe.the("gate").provisional() and recipe.autonomy > 0
    policies = 1 + 2 * rounds + (max(0, rounds - 1) if provisional else 0)
    places = rounds + 2
    policies += 2 * (recipe.the("gate").lagged and rounds > 0)
    made.parts["evaluation"] = fitted + policies * _exam(later, most, "gate", recipe.gate_problems, places)
    made.parts["audit"] = _audits(recipe, given)
    sealed = _part(recipe, "sealed", recipe.sealed_problems)
    exam = (2 if rounds else 1) * _exam(later, most, "sealed", recipe.sealed_problems, 1)
    marked = min(recipe.control_problems, sealed)
    drawn = (records + training.completions) // max(1, sealed)
    exam += given.draw(marked * min(recipe.control_samples, drawn))
    answer = _answer(later, most).attempt
    if answer.completions > 1:  # and a vote of as many tokens, after one plain sample to know how long they are
        exam += marked * (answer + most.draw(2))
    if recipe.null_round and rounds:
        exam += first + marked * _answer(recipe, given).attempt + given.joint(Flow(marked, marked))
    made.parts["exam"] = exam
    _remarks(recipe, made)
    weights = recipe.the("model").weights()
    if weights is not None:
        kept = made.run.completions * RECORD + made.run.tokens
        trains = rounds + (recipe.null_round and rounds > 0)
        made.disk = weights * (1 + trains * (1 + len(recipe.parts or ()))) + kept
    if task.published():
        made.bound = False
    return made


def _all_rounds(recipe: Recipe, later: Recipe) -> tuple[Cost, dict[str, Cost], int, Cost]:
    """The cost of data, that of the training of each part, the records, and what the null round does again.

    The first rounds are added up one by one; each of the others counts as the dearest of those and the last one.
    """
    rounds, first = recipe.rounds, NOTHING
    data, trained, records = NOTHING, dict[str, Cost](), 0
    most, dearest, largest = NOTHING, dict[str, Cost](), 0
    for number in [*range(1, min(rounds, EXACT) + 1), *[rounds] * (rounds > EXACT)]:
        taken, steps, made, again = _round(later if number > 1 else recipe, number)
        first = again if number == 1 else first
        most, largest = _larger(most, taken), max(largest, made)
        dearest = {role: _larger(dearest.get(role, NOTHING), cost) for role, cost in steps.items()}
        if number > EXACT:  # it stands for itself and for those between
            taken, made = most * (rounds - EXACT), largest * (rounds - EXACT)
            steps = {role: cost * (rounds - EXACT) for role, cost in dearest.items()}
        data, records = data + taken, records + made
        trained = {role: trained.get(role, NOTHING) + cost for role, cost in steps.items()}
    return data, trained, records, first


def _round(recipe: Recipe, number: int) -> tuple[Cost, dict[str, Cost], int, Cost]:
    """The same for one round."""
    given = _given(recipe)
    data, trained, records, first = NOTHING, dict[str, Cost](), 0, NOTHING
    now = replace(given, round=number)
    for leg in legs_of(recipe):
        acquired, again = _acquisition(recipe, leg, now)
        selected, taken = _selection(recipe, replace(now, flow=acquired))
        now, taken = replace(now, again=again), again + taken
        data, records = data + taken, records + acquired.records
        each = _training(recipe, replace(now, flow=selected))  # each part on its own records, at most all
        for role in leg.roles:
            trained[role] = trained.get(role, NOTHING) + each
        first += _selection(recipe, replace(given, flow=acquired))[1]
        first += _training(recipe, replace(given, flow=selected)) * len(leg.roles)
    return data, trained, records, first


def _larger(one: Cost, other: Cost) -> Cost:
    return Cost._make(map(max, one, other))


def _given(recipe: Recipe) -> Given:
    """The values that the methods' declarations depend on, before any records come in."""
    task = recipe.the("task")
    size, selection = task.size("train"), task.size("selection")

    def problems(n: int | None) -> int:
        known = task.unbounded if size is None else size
        return known if n is None else n if size is None else min(n, size)

    context = recipe.the("model").context() or sys.maxsize
    bare = Given(
        context=context,
        length=min(context, max(engine.longest() for engine in recipe.engine.values())),
        problems=problems,
        selection=sys.maxsize if selection is None else selection,
        probes=_probes(recipe, "gate"),
        rounds=recipe.rounds,
        replies=task.replies(),
        processes=recipe.the("launcher").together(),
    )
    bare = replace(bare, rate=partial(_rate, recipe, bare))
    attempt = bare.draw()
    for method in recipe.refinement.values():  # each one's attempts come from those before it
        attempt = method.cost(replace(bare, attempt=attempt))
    found = replace(bare, attempt=attempt)
    return replace(found, joint=partial(_joint, recipe, found))


def _joint(recipe: Recipe, given: Given, flow: Flow) -> Cost:
    """The cost of what refinements do around all answers to a set of problems."""
    return sum((method.together_cost(replace(given, flow=flow)) for method in recipe.refinement.values()), NOTHING)


def _answer(recipe: Recipe, given: Given) -> Given:
    """The same where problems are answered, each in its world and within the budget; a completion takes a token."""
    most, attempt = recipe.budget, given.attempt * given.replies
    tokens = int(min(attempt.tokens, most.tokens))
    completions, calls = int(min(attempt.completions, most.tokens)), int(min(attempt.calls, most.calls))
    return replace(given, attempt=attempt._replace(tokens=tokens, completions=completions, calls=calls))


def _rate(recipe: Recipe, given: Given, flow: Flow) -> Cost:
    """The cost of all rewards for a number of completions."""
    return sum((reward.cost(replace(given, flow=flow)) for reward in recipe.reward.values()), NOTHING)


def _acquisition(recipe: Recipe, leg: Leg, given: Given) -> tuple[Flow, Cost]:
    """The records from acquisition in a leg of a round, and its cost with the rewards."""
    flow, cost, kind = Flow(), NOTHING, None
    for method in leg.acquisition.values():
        now = replace(given, flow=flow)
        cost, flow, kind = cost + method.cost(now), method.gives(now), method.produces
    if kind is Rollout:  # completions without a reward are rated
        cost += given.rate(flow)
    return flow, cost


def acquired(recipe: Recipe) -> Flow:
    """The most that acquisition gives in the leg of a round where the solver learns."""
    return _acquisition(recipe, legs_of(recipe)[-1], _given(recipe))[0]


def _selection(recipe: Recipe, given: Given) -> tuple[Flow, Cost]:
    flow, cost = given.flow, NOTHING
    for method in recipe.selection.values():
        now = replace(given, flow=flow)
        cost, flow = cost + method.cost(now), method.gives(now)
    return flow, cost


def _training(recipe: Recipe, given: Given) -> Cost:
    """The cost of the optimizations of one part in a round; all except the first take one checkpoint."""
    cost, flow = NOTHING, given.flow
    samplers = recipe.sampler.values()
    redraws = sum(sampler.again() for sampler in samplers)
    for place, method in enumerate(recipe.optimization.values()):
        now = replace(given, flow=flow, redraws=0 if place else redraws)
        taken = method.cost(now)
        if not place:  # the later ones get no data, so nothing is chosen
            rows, among = method.choice(now)
            told = replace(now, steps=taken.steps, step_rows=rows, flow=replace(flow, records=among))
            taken += sum((one.cost(told) for one in samplers), NOTHING)
        cost, flow = cost + taken, Flow(1, 1)
    return cost


def _part(recipe: Recipe, split: str, wanted: int, places: int = 1) -> int:
    """Most problems in one of several equal parts of a split."""
    size = recipe.the("task").size(split)
    return wanted if size is None else min(wanted, math.ceil(size / places))


def _probes(recipe: Recipe, split: str) -> int:
    probes = recipe.the("task").probes().values() if recipe.probe_problems else ()
    sizes = (probe.size(split) for probe in probes)
    return sum(recipe.probe_problems if size is None else min(size, recipe.probe_problems) for size in sizes)


def _exam(recipe: Recipe, given: Given, split: str, wanted: int, places: int) -> Cost:
    """The cost of evaluating one policy."""
    n = _part(recipe, split, wanted, places)
    now = replace(_answer(recipe, given), flow=Flow(n, n), probes=_probes(recipe, split))
    cost = sum((method.cost(now) for method in recipe.evaluation.values()), NOTHING)
    sets = [Flow(n, n)] + ([Flow(now.probes, now.probes)] if now.probes else [])  # each is answered together
    return cost + sum(map(given.joint, sets), NOTHING)


def _audits(recipe: Recipe, given: Given) -> Cost:
    """The cost of the audits of the start and of all candidates, including the audit forms of judges."""
    judges = [reward for reward in recipe.reward.values() if isinstance(reward, Judging)]
    if not (recipe.alarm or judges):
        return NOTHING
    n = _part(recipe, "audit", recipe.audit_problems, recipe.rounds + 1)
    flow = Flow(n * recipe.audit_samples, n, recipe.audit_samples)
    changed = min(n, recipe.variant_problems) * recipe.audit_samples
    cost = (recipe.rounds + 1) * (given.draw((flow.records + changed) * given.replies) + given.rate(flow))
    for reward in judges:
        if not reward.frozen:  # candidate and start both judge; in round 1 the start has judged already
            cost += max(0, 2 * recipe.rounds - 1) * reward.cost(replace(given, flow=flow))
    return cost


def _turned_up(recipe: Recipe, made: Estimate) -> Recipe:
    """The recipe with the largest values that its controllers may set for later rounds."""
    settings: dict[str, Any] = vars(recipe) | {
        slot: {name: vars(method) for name, method in getattr(recipe, slot).items()}
        for slot in ("task", "acquisition", "selection", "sampler", "optimization", "refinement")
    }
    if recipe.autonomy not in (1, 3):
        return recipe
    largest = {key: value for one in recipe.controller.values() for key, value in one.largest(settings).items()}
    if not largest:
        return recipe
    turned = deepcopy(recipe)
    for key, value in largest.items():
        slot, name, option = key.split(".")
        setattr(getattr(turned, slot)[name], option, value)
    told = ", ".join(f"{key}={value:g}" for key, value in largest.items())
    made.remarks.append(f"a controller may change options, so rounds from 2 on are estimated with {told}")
    return turned


def _remarks(recipe: Recipe, made: Estimate) -> None:
    task = recipe.the("task")
    if name := task.published():
        size = task.size("train")
        known = f"counts as {task.unbounded} problems" if size is None else f"has about {size} training problems"
        made.remarks.append(f"nothing is downloaded; according to a table, {name} {known}")
