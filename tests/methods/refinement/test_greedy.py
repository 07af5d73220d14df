"""One completion, the likeliest one, the same every time."""

from __future__ import annotations

from collections.abc import Callable

from selfimprove.interfaces import GREEDY
from selfimprove.methods.refinement.greedy import Greedy


def test_the_likeliest_completion_is_taken(make_policy: Callable, make_engine: Callable, make_prompt: Callable) -> None:
    engine = make_engine({"S:1+2=": {"rare": 0.3, "likely": 0.4, "other": 0.3}}, "unknown")
    policy = make_policy(engine, Greedy())
    prompts = [make_prompt("1+2"), make_prompt("3+5"), make_prompt("1+2")]
    for _ in range(3):
        assert [rollout.text for rollout in policy.answer(prompts)] == ["likely", "unknown", "likely"]
    assert {(n, sampling) for n, sampling, _ in engine.calls} == {(1, GREEDY)}
