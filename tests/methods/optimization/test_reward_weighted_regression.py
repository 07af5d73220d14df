"""`reward_weighted_regression`: weights by hand, `sft` at a high temperature, the best only at a low one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.methods.optimization.reward_weighted_regression import RewardWeightedRegression
from selfimprove.methods.optimization.sft import Sft
from selfimprove.records import Checkpoint

TEXTS = ["8", "Answer: 8.", "the quick brown fox jumps", "what is 12 - 7?"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list:
    """What the trainer is called with, instead of training."""
    seen = []

    def sft(job: Any, rows: Any, **options: Any) -> Checkpoint:
        seen.append((job.start, [one.text for one in rows], options["weights"]))
        return Checkpoint(path=str(job.folder))

    monkeypatch.setattr("selfimprove.training.sft", sft)
    return seen


def test_weights_by_hand(calls: list, questions: list, say: Callable, make_context: Callable) -> None:
    scores = [1.0, 0.0, None, -1.0]
    rows = [say(prompt, text, reward=s) for prompt, text, s in zip(questions, TEXTS, scores, strict=False)]
    given = make_context()
    RewardWeightedRegression(tau=0.5, restart="last").optimize(rows, given)
    weights = [1.0, math.exp(-2), math.exp(-4)]
    assert calls == [(given.policy.checkpoint, [TEXTS[0], TEXTS[1], TEXTS[3]], pytest.approx(weights))]
    effective = sum(weights) ** 2 / sum(w * w for w in weights)
    assert given.log.metrics["train/effective_rows"] == pytest.approx(effective)


def test_a_low_temperature_keeps_the_best_and_large_scores_do_no_harm(
    calls: list, questions: list, say: Callable, make_context: Callable
) -> None:
    rows = [say(prompt, text, reward=1e6 * s) for prompt, text, s in zip(questions, TEXTS, [1, 0, 1, 0], strict=False)]
    RewardWeightedRegression(tau=1e-3).optimize(rows, make_context())
    assert calls[0][1:] == ([TEXTS[0], TEXTS[2]], [1.0, 1.0])


@pytest.mark.runs
def test_a_high_temperature_is_sft(questions: list, say: Callable, setting: Callable) -> None:
    import torch
    from safetensors.torch import load_file

    rows = [say(prompt, text, reward=s) for prompt, text, s in zip(questions, TEXTS, [1, 0, 1, 0], strict=False)]
    plan = {"learning_rate": 1e-3, "max_steps": 4}
    plain, weighted = setting("plain"), setting("weighted")
    Sft(**plan).optimize(rows, plain)
    RewardWeightedRegression(tau=1e9, **plan).optimize(rows, weighted)
    one, other = (load_file(given.folder / "model/model.safetensors") for given in (plain, weighted))
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


def test_without_scores_there_is_nothing_to_weigh(questions: list, say: Callable, make_context: Callable) -> None:
    with pytest.raises(DataError, match="none of 1 completions has a score"):
        RewardWeightedRegression().optimize([say(questions[0], "8")], make_context())


@pytest.mark.parametrize("options", [{"restart": "best"}])
def test_unknown_choices_are_refused(options: dict) -> None:
    with pytest.raises(RecipeError):
        RewardWeightedRegression(**options)
