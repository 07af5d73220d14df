"""Blocks are kept in proportion to the exponent of their value; without weight nothing but the model decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from selfimprove.methods.refinement.args import Args
from selfimprove.records import Message

N = 200


def table(messages: Sequence[Message]) -> Mapping[str, float]:
    asked = messages[-1]["content"]
    if not asked.startswith("judge"):
        return {"#4": 0.3, "#1": 0.7}
    return {"#yes": 1.0} if asked.endswith("#4") else {"#no": 1.0}


@pytest.mark.parametrize("weight", [0.0, 1.0, 50.0])
def test_with_two_blocks_the_share_has_a_closed_form(table_model: ModuleType, weight: float) -> None:
    """Right with p = 0.3: p^2 + 2 p (1 - p) e^w / (1 + e^w). With w = 0 that is p, with a large one 1 - (1 - p)^2."""
    problems = [table_model.Quiz().question(f"q{i}") for i in range(N)]
    made = table_model.answered(Args(samples=2, block=24, weight=weight), problems, table)
    right = sum(one.text == "#4" for one in made) / N
    expected = 0.3**2 + 2 * 0.3 * 0.7 / (1 + math.exp(-weight))
    assert abs(right - expected) < 3 * math.sqrt(expected * (1 - expected) / N)


def test_a_reward_of_the_recipe_decides_block_by_block(table_model: ModuleType) -> None:
    """The blocks are single steps, so the one good way of 8 is found where best-of-8 would need luck."""
    says = {f"{a} {b} {c}": 1.0 for a in "xy" for b in "xy" for c in "xy"}
    rate = lambda by, groups, policy: [[one.text.count("x") / 3 for one in group] for group in groups]  # noqa: E731
    method = Args(samples=8, block=2, weight=200.0, value="reward.length")
    made = table_model.answered(method, 8, lambda messages: says, rewards=rate)
    assert sum(one.text == "x x x" for one in made) >= 7
