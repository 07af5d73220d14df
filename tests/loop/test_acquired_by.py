"""The acquisition once more, by other weights: other problems, rewards, nothing held out, nothing reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from selfimprove.loop.steps import acquired_by
from selfimprove.methods.acquisition.rejection_sampling import RejectionSampling
from selfimprove.methods.acquisition.seed_prompts import SeedPrompts
from selfimprove.problems.splits import split_of
from selfimprove.recipe.legs import Leg
from selfimprove.records import Prompt, Rollout


def test_each_draw_has_problems_of_its_own(
    make_context: Callable, make_engine: Callable, make_prompt: Callable
) -> None:
    held = next(key for key in (f"1+2+{digit}" for digit in range(10)) if split_of(key) != "train")

    class Careless(SeedPrompts):
        def acquire(self, records, context):
            return [*super().acquire(records, context), make_prompt(held)]

    chain = {"seed_prompts": Careless(problems=5), "rejection_sampling": RejectionSampling(samples=2)}
    context, now = make_context(make_engine({}, "#6")), make_context(make_engine({}, "#6"))
    leg, stored = Leg("", chain, ["solve"], ["solve"]), cast(Any, None)  # the records are too short to be compared
    draws = [acquired_by(stored, leg, context, now.policy, number) for number in (1, 2, 1)]
    keys = [{one.prompt.key for one in draw if isinstance(one, Rollout)} for draw in draws]
    assert keys[0] == keys[2] and keys[0].isdisjoint(keys[1])
    assert keys[0].isdisjoint(one.key for one in context.problems(5, context.round) if isinstance(one, Prompt))
    assert all(split_of(key) == "train" for own in keys for key in own)
    assert all(isinstance(one, Rollout) and one.reward in (0.0, 1.0) and one.source for one in draws[0])
    assert now.policy.engine.calls and not context.policy.engine.calls and not context.log.metrics
