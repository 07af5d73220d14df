"""`ppo`: it learns, its critic learns what to expect, and the divergence holds it back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove import training
from selfimprove.methods.optimization.ppo import Ppo
from selfimprove.records import Prompt, Rollout

SHORT: dict[str, Any] = {
    "learning_rate": 1e-2,
    "lr_scheduler_type": "constant",
    "per_device_train_batch_size": 16,
    "max_completion_length": 6,
}


def letters(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """A reward that anything can learn: the share of letters e."""
    return [replace(one, reward=one.text.count("e") / 6) for one in rollouts]


def even(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """A reward that is the same for all."""
    return [replace(one, reward=0.7) for one in rollouts]


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """(values, mask) of each call of `generalized_advantages`."""
    seen: list[tuple[Any, Any]] = []
    plain = training.generalized_advantages

    def spy(rewards: Any, values: Any, mask: Any, lam: float) -> Any:
        seen.append((values, mask))
        return plain(rewards, values, mask, lam)

    monkeypatch.setattr(training, "generalized_advantages", spy)
    return seen


@pytest.mark.runs
def test_the_reward_rises(setting: Callable, questions: list[Prompt]) -> None:
    given = setting(reward=letters)
    Ppo(**SHORT, max_steps=28, num_iterations=2, critic_learning_rate=1e-2).optimize(questions, given)
    found = given.log.metrics
    assert found["train/reward_last"] > found["train/reward_first"] + 0.1
    assert (found["train/steps"], found["train/completions"]) == (28, 224), "two updates on each draw"


@pytest.mark.runs
def test_the_critic_begins_at_nothing_and_learns_what_comes(
    setting: Callable, questions: list[Prompt], spied: list
) -> None:
    options = {**SHORT, "learning_rate": 0.0}
    Ppo(**options, beta=0.0, max_steps=32, num_iterations=4, critic_learning_rate=1e-2).optimize(
        questions, setting(reward=even)
    )
    (first, _), (last, mask) = spied[0], spied[-1]
    assert not first.any()
    assert last[mask > 0].mean().item() == pytest.approx(0.7, abs=0.1)


def test_without_a_surprise_nothing_moves(setting: Callable, questions: list[Prompt], small: Any) -> None:
    given = setting(reward=even)
    Ppo(**SHORT, beta=0.0, lam=1.0, max_steps=1, num_iterations=1).optimize(questions, given)
    made, start = (Path(path) / "model.safetensors" for path in (given.folder / "model", small.path))
    assert made.read_bytes() == start.read_bytes()
