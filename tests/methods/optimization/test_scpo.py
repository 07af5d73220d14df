"""`scpo`: the loss by hand, its weights, and that pairs of weight 0 do not move the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.methods.optimization.dpo import Dpo
from selfimprove.methods.optimization.scpo import Scpo

STILL: dict[str, Any] = {"learning_rate": 0.0, "max_steps": 10}
WEIGHTS = [1.0, 0.25, 0.5, 0.0]


def weighted(pairs: list, weights: list[float]) -> list:
    return [replace(pair, weight=weight) for pair, weight in zip(pairs, weights, strict=True)]


def test_the_first_loss_by_hand(couples: list, scores_of: Callable, setting: Callable) -> None:
    """Against the model itself every margin is 0: ln 2 and the mean log-probability of a chosen token, times w."""
    nll = [-sum(score) / len(score) for score in scores_of(couples)[0]]
    wanted = sum(w * (math.log(2) + 0.7 * n) for w, n in zip(WEIGHTS, nll, strict=True)) / 4
    given = setting()
    Scpo(alpha=0.7, **STILL).optimize(weighted(couples, WEIGHTS), given)
    assert given.log.metrics["train/loss"] == pytest.approx(wanted, abs=1e-3)


@pytest.mark.runs
def test_the_loss_away_from_the_reference(
    couples: list, scores_of: Callable, margins_of: Callable, setting: Callable
) -> None:
    moved = Scpo(learning_rate=1e-3, max_steps=3).optimize(couples, setting("moved"))
    given = setting("measured")
    given = replace(given, policy=replace(given.policy, checkpoint=moved))
    Scpo(beta=0.2, reference="base", **STILL).optimize(weighted(couples, WEIGHTS), given)
    gains = [new - old for new, old in zip(margins_of(couples, moved), margins_of(couples), strict=True)]
    nll = [-sum(score) / len(score) for score in scores_of(couples, moved)[0]]
    terms = [math.log1p(math.exp(-0.2 * gain)) + n for gain, n in zip(gains, nll, strict=True)]
    wanted = sum(w * term for w, term in zip(WEIGHTS, terms, strict=True)) / 4
    assert given.log.metrics["train/loss"] == pytest.approx(wanted, abs=2e-3)
    assert given.log.metrics["train/margin"] == pytest.approx(sum(gains) / 4, abs=2e-2)
    assert sum(gains) / 4 > 1


@pytest.mark.long
def test_without_likelihood_and_with_weights_of_1_it_is_dpo(couples: list, setting: Callable) -> None:
    import torch
    from safetensors.torch import load_file

    plan: dict[str, Any] = {"learning_rate": 1e-4, "max_steps": 3, "beta": 0.3}
    one, other = setting("scpo"), setting("dpo")
    Scpo(alpha=0.0, **plan).optimize(couples, one)
    Dpo(**plan).optimize(couples, other)
    mine, theirs = (load_file(given.folder / "model/model.safetensors") for given in (one, other))
    assert all(torch.allclose(mine[name], theirs[name], atol=1e-5) for name in mine)


def test_a_pair_of_weight_0_teaches_nothing(couples: list, margins_of: Callable, setting: Callable) -> None:
    """The same pair twice, once turned round with weight 0: only the other one counts."""
    turned = replace(couples[0], chosen=couples[0].rejected, rejected=couples[0].chosen, weight=0.0)
    trained = Scpo(alpha=0.0, learning_rate=1e-3, max_steps=5).optimize([couples[0], turned], setting())
    assert margins_of(couples[:1], trained)[0] > margins_of(couples[:1])[0] + 1


@pytest.mark.parametrize("weights", [[0.0] * 4, [1.0, -1.0, 1.0, 1.0], [1.0, float("nan"), 1.0, 1.0]])
def test_weights_that_cannot_be_used(couples: list, setting: Callable, weights: list[float]) -> None:
    with pytest.raises(DataError, match="weight"):
        Scpo().optimize(weighted(couples, weights), setting())


def test_divergence_saves_nothing(couples: list, setting: Callable) -> None:
    given = setting()
    with pytest.raises(DataError, match=r"step \d+; nothing was saved"):
        Scpo(learning_rate=1e30, max_steps=4).optimize(couples, given)
    assert not list(given.folder.glob("model/*.safetensors"))


@pytest.mark.parametrize("options", [{"restart": "best"}, {"reference": "last"}])
def test_unknown_choices_are_refused(options: dict) -> None:
    with pytest.raises(RecipeError):
        Scpo(**options)
