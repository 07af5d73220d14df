"""Builds what a method gets from a recipe: the policy of some weights, and the context around it.

A run, `evaluate` and `diagnose` differ only in what they pass here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfimprove.costs import Cost, Flow, Given
from selfimprove.episodes import Episode
from selfimprove.inference.desk import Sessions
from selfimprove.interfaces import Context, Grading, Log, Policy
from selfimprove.loop.reward_sum import rate
from selfimprove.measures import ngrams
from selfimprove.problems import overlap, splits
from selfimprove.recipe.schema import Recipe
from selfimprove.records import Checkpoint, Prompt, Rollout

NOTHING: Mapping[str, dict[str, Any]] = {}


def policy_of(
    recipe: Recipe,
    checkpoint: Checkpoint,
    seed: int,
    log: Log,
    learned: Mapping[str, dict[str, Any]] = NOTHING,
    **others: Any,
) -> Policy:
    """The policy of some weights with a recipe's engine and refinements.

    Args:
        learned: the state that its refinements learned in `fit`, by name.
        others: further fields of the policy, or other values than the recipe's engine and desk.
    """
    task = recipe.the("task")
    fields = {"engine": recipe.the("engine"), "desk": Sessions(task, budget=recipe.budget), **others}
    return Policy(
        checkpoint=checkpoint,
        chain=tuple(recipe.refinement.values()),
        states=tuple(learned.get(name, {}) for name in recipe.refinement),
        answer_of=task.answer_of,
        seed=seed,
        log=log,
        **fields,
    )


def rating_of(recipe: Recipe, by: str, n: int) -> Cost:
    """The most that one of the recipe's rewards takes for n completions of a prompt; "" stands for all rewards."""
    given = Given(length=max(engine.longest() for engine in recipe.engine.values()), flow=Flow(n, 1, n))
    asked = recipe.reward.values() if not by else [recipe.reward[by]] if by in recipe.reward else ()
    return sum((reward.cost(given) for reward in asked), Cost())


def context_of(
    recipe: Recipe,
    policy: Policy,
    start: Checkpoint,
    *,
    number: int,
    rounds: int,
    seed: int,
    train_seed: Callable[[int], int],
    selection_seed: int,
    folder: Path,
    previous: Path | None,
    log: Log,
) -> Context:
    """The context of a method in round `number`.

    Args:
        train_seed: seed for drawing the training problems of a round.
        selection_seed: seed for drawing the selection problems.
    """
    task = recipe.the("task")

    def reward(rollouts: Sequence[Rollout]) -> list[Rollout]:
        return rate(rollouts, recipe, made)

    def world(problem: Prompt) -> Episode:
        splits.check_problem(problem.key)
        return task.open(problem)

    made = Context(
        round=number,
        rounds=rounds,
        seed=seed,
        folder=folder,
        previous=previous,
        policy=policy,
        start=start,
        problems=lambda n, of_round: task.problems("train", n, train_seed(of_round)),
        selection=lambda n: task.problems("selection", n, selection_seed),
        variants=lambda problem, n: task.variants(problem, "same", n, seed),
        world=world,
        verify=task.verify,
        answer_of=task.answer_of,
        roles=task.roles(),
        reward=reward,
        log=log,
        held_out=lambda n: held_out(recipe, n),
        judge=next((one for one in recipe.reward.values() if isinstance(one, Grading) and one.weight), None),
    )
    return made


def held_out(recipe: Recipe, n: int) -> dict[str, Any]:
    """The held-out problems of a recipe's task as hashes, see `Context.held_out`; no text of them leaves here."""
    import numpy as np

    task = recipe.the("task")
    with splits.lifted():
        problems = [problem for split in splits.HELD_OUT for problem in task.problems(split, None, 0)]
    texts, keys = [overlap.posed(one.prompt) for one in problems], [one.key for one in problems]
    return {"runs": ngrams.held(texts, n, overlap.TEMPLATE), "keys": np.unique(ngrams.marks(keys))}
