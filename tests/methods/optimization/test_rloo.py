"""`rloo`: the leave-one-out advantage by hand, and that it learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.optimization.rloo import Rloo
from selfimprove.records import Prompt, Rollout

SHORT: dict[str, Any] = {
    "learning_rate": 1e-2,
    "lr_scheduler_type": "constant",
    "per_device_train_batch_size": 16,
    "num_generations": 4,
    "max_completion_length": 6,
}


def letters(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """A reward that anything can learn: the share of letters e."""
    return [replace(one, reward=one.text.count("e") / 6) for one in rollouts]


@pytest.mark.runs
def test_the_reward_rises(setting: Callable, questions: list[Prompt]) -> None:
    given = setting(reward=letters)
    Rloo(**SHORT, max_steps=20, beta=0.01).optimize(questions, given)
    found = given.log.metrics
    assert found["train/reward_last"] > found["train/reward_first"] + 0.1
    assert (found["train/steps"], found["train/completions"]) == (20, 320)


def test_the_baseline_is_the_mean_of_the_others_that_have_a_score(
    setting: Callable, questions: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl.trainer.rloo_trainer import RLOOTrainer

    seen: list[list[float]] = []
    plain = RLOOTrainer._generate_and_score_completions

    def spy(self: Any, inputs: Any) -> Any:
        made = plain(self, inputs)
        seen.append(made["advantages"].tolist())
        return made

    def marks(rollouts: Sequence[Rollout]) -> list[Rollout]:
        return [
            replace(one, reward=score)
            for one, score in zip(rollouts, [1.0, 0.0, 0.0, 0.5, 1.0, None, 0.0, None] * 2, strict=True)
        ]

    monkeypatch.setattr(RLOOTrainer, "_generate_and_score_completions", spy)
    given = setting(reward=marks)
    Rloo(**SHORT, max_steps=1, beta=0.0).optimize(questions, given)
    others = [1 - 0.5 / 3, 0 - 1.5 / 3, 0 - 1.5 / 3, 0.5 - 1 / 3, 1.0, 0.0, -1.0, 0.0]
    assert seen == [pytest.approx(others * 2)]
    assert given.log.metrics["train/unscored"] == 4


def test_beta_holds_the_policy_near_its_reference(setting: Callable, questions: list[Prompt], small: Any) -> None:
    """With a reward that is the same for all, a large beta alone moves nothing at the first step."""

    def even(rollouts: Sequence[Rollout]) -> list[Rollout]:
        return [replace(one, reward=1.0) for one in rollouts]

    given = setting(reward=even)
    Rloo(**SHORT, max_steps=1, beta=10.0).optimize(questions, given)
    assert (given.folder / "model/model.safetensors").read_bytes() == (
        Path(small.path) / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("options", [{"restart": "best"}, {"reference": "last"}, {"num_generations": 3}])
def test_what_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        Rloo(**options)
