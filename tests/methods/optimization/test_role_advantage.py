"""Advantages over what a role wins on average: the baseline is read before its update, and goes on in the next round."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.methods.optimization.role_advantage import RoleAdvantage, advantages


def test_baselines_by_hand(make_rollout: Callable[..., Any]) -> None:
    rows = [
        make_rollout(role=role, reward=reward)
        for role, reward in (("first", 1.0), ("second", -1.0), ("first", -1.0), ("first", None), ("second", 1.0))
    ]
    baselines = dict[str, float]()
    made = advantages(rows, baselines, 0.9)
    assert [one.reward for one in made] == pytest.approx([1.0, -1.0, -1.1, None, 1.1])
    assert baselines == pytest.approx({"first": 0.9 * 0.1 - 0.1, "second": 0.9 * -0.1 + 0.1})


def test_a_baseline_comes_near_the_mean_of_its_role(make_rollout: Callable[..., Any]) -> None:
    source, baselines = random.Random(0), dict[str, float]()
    rows = [
        make_rollout(role=role, reward=mean + source.choice([-0.1, 0.1]))
        for _ in range(400)
        for role, mean in (("a", 0.5), ("b", -0.5))
    ]
    advantages(rows, baselines, 0.95)
    assert baselines == pytest.approx({"a": 0.5, "b": -0.5}, abs=0.05)


def test_training_makes_winning_moves_likelier_and_keeps_the_baselines(
    setting: Callable, questions: list[Any], say: Callable
) -> None:
    from selfimprove.methods.engine.transformers import Transformers

    good, bad = say(questions[0], "8", role="first", reward=1.0), say(questions[0], "9", role="first", reward=-1.0)
    given = setting()
    options: dict[str, Any] = {"learning_rate": 1e-3, "max_steps": 4, "per_device_train_batch_size": 8}
    made = RoleAdvantage(**options).optimize([good, bad] * 4, given)
    before, after = (
        [sum(row) for row in Transformers().logprobs_of(weights, [good, bad])] for weights in (given.start, made)
    )
    assert after[0] - after[1] > before[0] - before[1]
    kept = (given.folder / "baselines.json").read_text()
    later = setting("later", previous=given.folder)
    RoleAdvantage(**options).optimize([good], replace(later, round=2))
    first = given.log.metrics["train/first/baseline"]
    assert later.log.metrics["train/first/baseline"] == pytest.approx(0.95 * first + 0.05) and kept
