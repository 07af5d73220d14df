"""What a method is handed: the recipe's own parts, drawn with the seeds that the caller names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selfimprove.loop.given import context_of, policy_of
from selfimprove.recipe import compose
from selfimprove.records import Checkpoint

HERE = Checkpoint(path="nowhere")


def test_a_policy_has_the_recipe_s_chain_with_what_each_method_learned(quiet_log: Any) -> None:
    recipe, _ = compose.load("quickstart", ["refinement=[best_of_n,greedy]"])
    policy = policy_of(recipe, HERE, 5, quiet_log, {"greedy": {"a": 1}})
    assert policy.chain == tuple(recipe.refinement.values()) and policy.states == ({}, {"a": 1})
    assert (policy.engine, policy.seed, policy.checkpoint) == (recipe.the("engine"), 5, HERE)
    other = recipe.engine | {}
    assert policy_of(recipe, HERE, 5, quiet_log, engine=other).engine is other, "what the caller names goes first"


def test_problems_come_from_their_splits_with_the_seeds_that_were_named(quiet_log: Any, tmp_path: Path) -> None:
    recipe, _ = compose.load("quickstart", ["reward=[random,judge]"])
    task = recipe.the("task")
    context = context_of(
        recipe,
        policy_of(recipe, HERE, 0, quiet_log),
        HERE,
        number=3,
        rounds=4,
        seed=11,
        train_seed=lambda number: 100 + number,
        selection_seed=9,
        folder=tmp_path,
        previous=None,
        log=quiet_log,
    )
    assert (context.round, context.rounds, context.seed) == (3, 4, 11)
    assert context.problems(5, 2) == task.problems("train", 5, 102)
    assert context.selection(5) == task.problems("selection", 5, 9)
    [problem] = context.problems(1, 1)
    assert context.variants(problem, 2) == task.variants(problem, "same", 2, 11)
    assert context.judge is recipe.reward["judge"], "what a method that trains the judge asks"
