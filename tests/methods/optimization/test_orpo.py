"""`orpo`: the loss by hand, and that the chosen completion becomes likelier, not only likelier than the other."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.optimization.orpo import Orpo


def test_the_loss_by_hand(couples: list, scores_of: Callable, setting: Callable, one_step: dict) -> None:
    chosen, rejected = ([sum(score) / len(score) for score in side] for side in scores_of(couples))
    odds = [[math.exp(x) / (1 - math.exp(x)) for x in side] for side in (chosen, rejected)]
    ratios = [one / other for one, other in zip(*odds, strict=True)]
    wanted = sum(-x + 0.6 * math.log(1 + 1 / ratio) for x, ratio in zip(chosen, ratios, strict=True)) / 4
    given = setting()
    Orpo(odds_weight=0.6, **one_step).optimize(couples, given)
    assert given.log.metrics["train/loss"] == pytest.approx(wanted, abs=1e-3)


def test_the_chosen_text_gets_likelier_and_the_other_less_likely_than_it(
    couples: list, scores_of: Callable, margins_of: Callable, setting: Callable
) -> None:
    trained = Orpo(odds_weight=1.0, learning_rate=1e-3, max_steps=10).optimize(couples, setting())
    before, after = scores_of(couples)[0], scores_of(couples, trained)[0]
    assert all(sum(new) > sum(old) + 1 for new, old in zip(after, before, strict=True))
    assert sum(margins_of(couples, trained)) > sum(margins_of(couples)) + 1


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(RecipeError):
        Orpo(restart="best")
