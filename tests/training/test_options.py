"""What the methods that train have in common: options with their help, and where training starts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove import registry
from selfimprove.errors import RecipeError
from selfimprove.methods.optimization.grpo import Grpo
from selfimprove.methods.optimization.scpo import Scpo
from selfimprove.methods.optimization.sft import Sft
from selfimprove.records import Checkpoint
from selfimprove.training import job_of


def test_a_restated_default_keeps_the_inherited_help() -> None:
    plain = {option.name: option for option in registry.options(Grpo)}
    other = {option.name: option for option in registry.options(Scpo)}
    assert (plain["learning_rate"].default, other["learning_rate"].default) == ("1e-06", "5e-06")
    assert plain["learning_rate"].help == other["learning_rate"].help == "Peak learning rate. Takes 0 to 100."
    assert "drawn together" in plain["gradient_accumulation_steps"].help
    assert plain["lora"].default == "{r: 0, alpha: 32, dropout: 0.0, target_modules: null, load_in_4bit: false}"
    assert "drawn together" not in other["gradient_accumulation_steps"].help


@pytest.mark.parametrize(
    ("restart", "reference", "start", "frozen"),
    [
        ("last", "start", "newest", "newest"),
        ("last", "base", "newest", "first"),
        ("base", "start", "first", "first"),
        ("base", "base", "first", "first"),
    ],
)
def test_where_training_starts_and_what_holds_it(
    make_context: Callable, make_policy: Callable, restart: str, reference: str, start: str, frozen: str
) -> None:
    policy = make_policy(checkpoint=Checkpoint(path="newest"))
    given = make_context(policy=policy, start=Checkpoint(path="first"))
    job = job_of(Scpo(restart=restart, reference=reference), given)
    assert job.reference is not None and (job.start.path, job.reference.path) == (start, frozen)
    assert job_of(Sft(restart=restart), given).reference is None


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Sft, {"restart": "best"}, "optimization.sft.restart takes base or last, not 'best'"),
        (Sft, {"data": "old"}, "optimization.sft.data takes newest or all_rounds, not 'old'"),
        (Grpo, {"reference": "last"}, "optimization.grpo.reference takes start or base, not 'last'"),
        (Grpo, {"num_generations": 3}, "optimization.grpo: 8 completions per step .* multiple of num_generations"),
    ],
)
def test_a_value_that_does_not_exist_is_refused_with_those_that_do(make: type, options: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make(**options)
