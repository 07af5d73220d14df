"""What a recipe will cost, from its options alone: completions, tokens and training steps. No model is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from selfimprove.recipe.schema import Recipe
from selfimprove.records import Prompt


@dataclass
class Cost:
    """Upper bounds of a whole run; None where the options leave it open."""

    samples: int
    """Completions drawn for training data."""
    evaluations: int
    """Completions drawn by gates, audits and the sealed exam."""
    tokens: int
    """Completion tokens at most, were every completion as long as allowed."""
    steps: int | None
    """Optimizer steps."""


def estimate(recipe: Recipe) -> Cost:
    """The cost of all planned rounds; a task of unknown size counts as 1500 training problems."""
    prompts, drawn, rollouts = 0, 0, 0
    limits = [getattr(recipe.the("engine"), "max_completion_length", 512)]
    for method in recipe.acquisition.values():
        if method.consumes is None:
            prompts = getattr(method, "problems", None) or 1500
        elif method.produces is Prompt:
            prompts += getattr(method, "problems", 0)  # those that the model writes
        samples = getattr(method, "samples", 0) or getattr(method, "agents", 0) * getattr(method, "turns", 1)
        samples = samples * getattr(method, "iterations", 1) + getattr(method, "tests", 0)
        drawn += prompts * samples
        rollouts = max(rollouts, prompts * samples)
        limits.append(getattr(method, "max_completion_length", None) or 0)
    answers = math.prod(getattr(method, "samples", 1) for method in recipe.refinement.values())

    def examined(problems: int) -> int:
        methods = recipe.evaluation.values()
        drawn = (min(problems, getattr(e, "problems", problems)) * getattr(e, "samples", 0) for e in methods)
        return problems * answers + sum(drawn)

    probes = answers * recipe.probe_problems * len(recipe.the("task").probes())
    form = examined(recipe.gate_problems) + probes  # the start; three policies a round; two to confirm after the last
    gate = form * (1 + 3 * recipe.rounds + 2 * recipe.the("gate").lagged)
    judges = [(reward, getattr(reward, "samples", 1)) for reward in recipe.reward.values() if reward.judges]
    audit = recipe.audit_problems * recipe.audit_samples if recipe.alarm or judges else 0
    gate += audit * (1 + recipe.rounds)
    for reward, asked in judges:  # of each audit the judge that scored the data, the candidate, and the start
        gate += audit * asked * (1 + recipe.rounds * (1 if getattr(reward, "frozen", False) else 3))
    optimization: Any = next(iter(recipe.optimization.values()))  # the later ones of a chain train nothing
    together = getattr(recipe.the("launcher"), "processes", 0) or 1  # processes that share a step, each with its batch
    online = optimization.consumes is Prompt  # it draws its own completions, a batch a step
    steps, again = getattr(optimization, "max_steps", None), getattr(optimization, "num_iterations", 1)
    if steps is not None and steps < 0:
        rows = optimization.per_device_train_batch_size * optimization.gradient_accumulation_steps * together
        if online:
            rollouts = prompts * optimization.num_generations
        steps = math.ceil(rollouts * optimization.num_train_epochs / rows) * again * recipe.rounds
    elif steps is not None:
        growth = getattr(optimization, "max_steps_growth", 1.0)
        steps = sum(round(steps * growth**number) for number in range(recipe.rounds))
    samples = drawn * (1 + sum(asked for _, asked in judges)) * recipe.rounds
    if online and steps is not None:
        rows = steps * optimization.per_device_train_batch_size * optimization.gradient_accumulation_steps * together
        samples += math.ceil(rows / again) * getattr(optimization, "turns", 1)  # a row is a conversation
    sealed = 2 * (examined(recipe.sealed_problems) + probes)
    each = min(recipe.control_samples, samples // recipe.sealed_problems)
    sealed += min(recipe.control_problems, recipe.sealed_problems) * each
    longest = max(limits)
    return Cost(
        samples=samples,
        evaluations=gate + sealed,
        tokens=(samples + gate + sealed) * longest,
        steps=steps,
    )
