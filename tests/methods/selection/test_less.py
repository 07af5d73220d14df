"""Rows whose gradients resemble those of the target rank high: the target itself, and rows of its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from selfimprove import training
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.model.tiny import Tiny
from selfimprove.methods.selection.influence import Influence
from selfimprove.methods.selection.less import Less
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.records import Rollout
from selfimprove.training.gradients import Gradients


@pytest.fixture
def school(make_context: Callable, make_policy: Callable, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """A context with a tiny untrained model, whose selection problems are given with their solutions."""
    folder = tmp_path_factory.mktemp("weights")
    small = Tiny(hidden_size=16, intermediate_size=32, num_hidden_layers=1)._untrained(folder, seed=2)

    def make(target: list[Rollout]) -> tuple:
        context = make_context(Transformers())
        roles = context.roles
        solved = {one.prompt.key: one.text for one in target}
        roles.solution = lambda prompt: solved[prompt.key]  # pyright: ignore[reportAttributeAccessIssue]
        copies = training.Copies(context.folder / "copies", context.log)
        policy = replace(context.policy, checkpoint=small, copies=copies)
        given = {
            "policy": policy,
            "start": small,
            "roles": roles,
            "selection": lambda n: [one.prompt for one in target],
        }
        return replace(context, **given, verify=lambda prompt, text: 1.0)

    return make


def test_rows_of_the_targets_kind_rank_first(school: Callable) -> None:
    """Of 20 solutions and 20 proposals the target's kind, solutions, makes at least nine of the ten best."""
    task = ChainSums()
    solved, proposed = (task.demonstrations(role, 20, 5) for role in ("solve", "propose"))
    target = task.demonstrations("solve", 8, 77)
    method = Less(share=0.25, warmup_steps=4, learning_rate=1e-3)
    context = school(target)
    found = method.select([*solved, *proposed], context.held(method))
    assert len(found) == 10 and sum(one in solved for one in found) >= 9


def test_a_step_on_the_rows_of_influence_helps_the_target_most(school: Callable) -> None:
    """One SGD step on the best quarter lowers the target's loss, and more than one on the worst quarter."""
    import torch

    task = ChainSums()
    pool = [one for role in ("solve", "propose") for one in task.demonstrations(role, 20, 5)]
    target = task.demonstrations("solve", 8, 77)
    context = school(target)
    best, most = (Influence(share=share).select(pool, context) for share in (0.25, 0.75))
    worst = [one for one in pool if one not in most]

    def after(rows: list[Rollout]) -> float:
        model = Gradients(context.start, 8, 0, context.log)
        found = torch.autograd.grad(model._loss(rows), model.weights)
        with torch.no_grad():
            for weight, gradient in zip(model.weights, found, strict=True):
                weight -= 0.05 * gradient
            return float(model._loss(target))

    assert after(best) < after(worst) and len(best) == len(worst) == 10


def test_a_row_of_the_target_ranks_first_and_no_target_is_said(school: Callable) -> None:
    pool = ChainSums().demonstrations("solve", 30, 5)
    method = Less(share=0.04, warmup_steps=2, checkpoints=1, by_level=True)
    assert method.select(pool, school([pool[11]])) == [pool[11]]
    context = school([])
    assert len(Less(share=0.2).select(pool, context)) == 6 and "no target" in context.log.notes[0]
