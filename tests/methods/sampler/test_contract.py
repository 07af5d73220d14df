"""What every sampler of prompts keeps to: whole steps, its state is all that it knows, the order of a stop."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from selfimprove import registry
from selfimprove.costs import Given
from selfimprove.interfaces import PROMPTS, Sampler

registry.discover()
NAMES = [name for name in registry.names("sampler") if registry.find("sampler", name).method.chooses == PROMPTS]


def made(name: str) -> Sampler:
    return registry.find("sampler", name).method()


@pytest.mark.parametrize("name", NAMES)
def test_a_training_that_continues_from_its_state_chooses_the_same(name: str, training: Callable) -> None:
    rates = [0.98, 0.5, 0.02] * 20
    whole, half = training(made(name), rates), training(made(name), rates)
    for _ in range(12):
        whole.step(4)
    for _ in range(5):
        half.step(4)
    half.guide.step(4)  # chosen, and then stopped before anything was drawn
    kept = json.loads(json.dumps(half.guide.kept()))
    again = training(made(name), rates)
    again.guide.put_back(kept)
    again.chosen = whole.chosen[:5]
    for _ in range(7):
        again.step(4)
    assert again.chosen == whole.chosen and again.state == whole.state and again.trained == whole.trained[5:]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rates", [[0.5], [0.0] * 5, [1.0] * 5, [0.3, 0.9]], ids=str)
def test_small_and_useless_pools_give_whole_steps(name: str, rates: list[float], training: Callable) -> None:
    run = training(made(name), rates)
    for _ in range(6):
        run.step(4)
    assert all(len(step) == 4 and set(step) <= set(range(len(rates))) for step in run.chosen)
    json.dumps(run.state)


@pytest.mark.parametrize("name", NAMES)
def test_a_large_pool_gives_a_step_of_different_problems(name: str, training: Callable) -> None:
    run = training(made(name), [0.5] * 90)
    for _ in range(6):
        run.step(8)
    assert all(len(set(step)) == 8 for step in run.chosen)


@pytest.mark.parametrize("name", NAMES)
def test_no_step_draws_more_than_declared(name: str, training: Callable) -> None:
    sampler = made(name)
    assert sampler.again() >= 0 and sampler.cost(Given(steps=10)).completions == 0
    run = training(sampler, [0.0] * 50)
    run.step(4)
    assert run.guide.pool.left >= 0 and run.guide.kept()["idle"] in (0, 4)
