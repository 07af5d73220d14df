"""`weighted_sft`: the loss by hand, equal to `sft` at weights of 1, and no step that a weight of 0 takes part in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.optimization.sft import Sft
from selfimprove.methods.optimization.weighted_sft import WeightedSft

TEXTS = ["8", "Answer: 8.", "the quick brown fox jumps", "what is 12 - 7?"]
WEIGHTS = [0.2, 1.0, 3.0, 0.5]


@pytest.fixture
def rows(questions: list, say: Callable) -> Callable[..., list]:
    """`rows(weights)`: four completions of different lengths."""
    return lambda weights: [
        say(prompt, text, weight=weight) for prompt, text, weight in zip(questions, TEXTS, weights, strict=False)
    ]


@pytest.mark.parametrize("average", ["token", "sequence"])
def test_the_loss_by_hand(rows: Callable, setting: Callable, small: Any, average: str, one_step: dict) -> None:
    scores = Transformers().logprobs_of(small, rows(WEIGHTS))
    if average == "token":
        top = sum(w * -sum(score) for w, score in zip(WEIGHTS, scores, strict=True))
        bottom = sum(w * len(score) for w, score in zip(WEIGHTS, scores, strict=True))
    else:
        top = sum(w * -sum(score) / len(score) for w, score in zip(WEIGHTS, scores, strict=True))
        bottom = sum(WEIGHTS)
    for name, batch, accumulated in (("whole", 4, 1), ("in parts", 2, 2)):
        given = setting(name)
        plan: dict[str, Any] = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulated}
        WeightedSft(average=average, **one_step, **plan).optimize(rows(WEIGHTS), given)
        assert given.log.metrics["train/loss"] == pytest.approx(top / bottom, abs=1e-3)


@pytest.mark.runs
@pytest.mark.parametrize("weight", [1.0, 7.0])
def test_equal_weights_are_sft(rows: Callable, setting: Callable, weight: float) -> None:
    import torch
    from safetensors.torch import load_file

    plan = {"learning_rate": 1e-3, "max_steps": 5, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    plain, weighted = setting("plain"), setting("weighted")
    Sft(**plan).optimize(rows([1.0] * 4), plain)
    WeightedSft(**plan).optimize(rows([weight] * 4), weighted)
    one, other = (load_file(given.folder / "model/model.safetensors") for given in (plain, weighted))
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)
    assert weighted.log.metrics["train/steps"] == plain.log.metrics["train/steps"]


def test_weight_0_is_as_if_the_row_were_not_there(rows: Callable, setting: Callable) -> None:
    made = []
    for name, given_rows in (("zero", rows([1.0, 0.0, 2.0, 0.0])), ("gone", rows([1.0, 0.0, 2.0, 0.0])[::2])):
        given = setting(name)
        WeightedSft(learning_rate=1e-3, max_steps=3).optimize(given_rows, given)
        made.append(hashlib.sha256((Path(given.folder) / "model/model.safetensors").read_bytes()).hexdigest())
    assert made[0] == made[1]


@pytest.mark.runs
def test_the_heavier_completion_wins(questions: list, say: Callable, setting: Callable, small: Any) -> None:
    """Two contradicting completions of one prompt: the model comes to say the one with nine times the weight."""
    pair = [say(questions[0], "yes", weight=0.9), say(questions[0], "no!", weight=0.1)]
    given = setting()
    trained = WeightedSft(learning_rate=3e-3, max_steps=40, lr_scheduler_type="constant").optimize(pair, given)
    yes, no = (sum(score) for score in Transformers().logprobs_of(trained, pair))
    assert yes > no + 1


@pytest.mark.parametrize("weights", [[0.0] * 4, [1.0, -1.0, 1.0, 1.0], [1.0, float("nan"), 1.0, 1.0]])
def test_weights_that_cannot_be_used(rows: Callable, setting: Callable, weights: list[float]) -> None:
    with pytest.raises(DataError, match="weight"):
        WeightedSft().optimize(rows(weights), setting())


@pytest.mark.parametrize("options", [{"restart": "best"}, {"average": "batch"}])
def test_unknown_choices_are_refused(options: dict) -> None:
    with pytest.raises(RecipeError):
        WeightedSft(**options)
