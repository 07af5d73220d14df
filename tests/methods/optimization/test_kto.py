"""`kto`: who is good, the weights of both kinds, the first loss, and the direction of both kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.optimization.kto import Kto
from selfimprove.records import Checkpoint

TEXTS = ["8", "Answer: 8.", "the quick brown fox", "what is 12 - 7?", "yes"]
SCORES = [1.0, 0.0, None, 0.5, 0.9]


@pytest.fixture
def rows(questions: list, say: Callable) -> list:
    return [say(prompt, text, reward=s) for prompt, text, s in zip(questions, TEXTS, SCORES, strict=False)]


@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_the_first_loss_is_one_half(rows: list, setting: Callable, loss_type: str, one_step: dict) -> None:
    given = setting()
    Kto(loss_type=loss_type, balance=False, **one_step).optimize(rows, given)
    assert given.log.metrics["train/loss"] == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "good", "weights"),
    [
        ({}, [True, False, False, False], (3.0, 1.0)),
        ({"min_score": 0.5}, [True, False, True, True], (1.0, 3.0)),
        ({"min_score": 0.5, "balance": False}, [True, False, True, True], (1.0, 1.0)),
        ({"min_score": 0.0}, [True, True, True, True], (1.0, 1.0)),
    ],
)
def test_labels_and_weights(
    rows: list, make_context: Callable, monkeypatch: pytest.MonkeyPatch, options: dict, good: list, weights: tuple
) -> None:
    seen: list[Any] = []

    def kto(job: Any, rollouts: Any, labels: Any, **how: Any) -> Checkpoint:
        seen.append(([one.text for one in rollouts], labels, (how["desirable_weight"], how["undesirable_weight"])))
        return Checkpoint(path=str(job.folder))

    monkeypatch.setattr("selfimprove.training.kto", kto)
    given = make_context()
    Kto(**options).optimize(rows, given)
    assert seen == [([text for text in TEXTS if text != TEXTS[2]], good, weights)]
    assert given.log.metrics["train/good"] == sum(good) / 4


@pytest.mark.long
def test_good_goes_up_against_bad(rows: list, setting: Callable, small: Checkpoint) -> None:
    trained = Kto(min_score=0.6, learning_rate=1e-3, max_steps=10).optimize(rows, setting())
    before, after = Transformers().logprobs_of(small, rows), Transformers().logprobs_of(trained, rows)
    gains = [sum(new) - sum(old) for new, old in zip(after, before, strict=True)]
    assert min(gains[0], gains[4]) > max(gains[1], gains[3]) + 1


@pytest.mark.runs
def test_the_order_and_the_seed_decide_the_bytes(rows: list, setting: Callable) -> None:
    made = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        given = setting(name, seed=seed)
        Kto(learning_rate=1e-3, max_steps=2, per_device_train_batch_size=2).optimize(rows, given)
        made[name] = (given.folder / "model/model.safetensors").read_bytes()
    assert made["a"] == made["b"] != made["c"]


def test_without_scores_there_is_nothing_to_learn(rows: list, make_context: Callable) -> None:
    with pytest.raises(DataError, match="none of 1 completions has a score"):
        Kto().optimize(rows[2:3], make_context())


@pytest.mark.parametrize(
    "options",
    [{"restart": "best"}, {"reference": "last"}, {"loss_type": "bco"}, {"per_device_train_batch_size": 1}],
)
def test_unknown_choices_are_refused(options: dict) -> None:
    with pytest.raises(RecipeError):
        Kto(**options)
