"""`simpo`: the loss by hand, no reference, and that margins per token grow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.optimization.simpo import Simpo
from selfimprove.records import Preference
from selfimprove.training.trl import pairs as preference


def test_the_loss_by_hand(couples: list, scores_of: Callable, setting: Callable, one_step: dict) -> None:
    chosen, rejected = ([sum(score) / len(score) for score in side] for side in scores_of(couples))
    leads = [2.5 * (one - other) - 0.8 for one, other in zip(chosen, rejected, strict=True)]
    given = setting()
    Simpo(beta=2.5, gamma=0.8, **one_step).optimize(couples, given)
    wanted = sum(math.log1p(math.exp(-lead)) for lead in leads) / 4
    assert given.log.metrics["train/loss"] == pytest.approx(wanted, abs=1e-3)


def test_completions_that_were_cut_off_are_not_taught_an_end(
    cut: list, small: Any, setting: Callable, one_step: dict
) -> None:
    """A loss of our own; beside it a pair whose rejected side is an unanswered prompt, which has no token at all."""
    engine, leads = Transformers(), list[float]()
    for chosen, rejected in cut:
        one, other = engine.logprobs_of(small, [chosen, rejected])
        leads.append(2.5 * (sum(one) / len(one) - sum(other) / len(other)) - 0.8)
    empty = replace(cut[0][1], completion=[{"role": "assistant", "content": ""}])
    pairs = [Preference.of(cut[0][0], empty), *(Preference.of(*sides) for sides in cut)]
    given = setting()
    Simpo(beta=2.5, gamma=0.8, **one_step).optimize(pairs, given)
    wanted = sum(math.log1p(math.exp(-lead)) for lead in leads) / 4
    assert given.log.metrics["train/loss"] == pytest.approx(wanted, abs=1e-3)
    with pytest.raises(DataError, match="none of 1 pairs has two answers"):
        Simpo().optimize(pairs[:1], setting("none"))


def test_one_model_is_loaded_and_the_margin_per_token_grows(
    couples: list, scores_of: Callable, setting: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trl.trainer.dpo_trainer

    loads = []
    plain = preference.load

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("TRL loads a reference")

    monkeypatch.setattr(preference, "load", lambda one, *rest: loads.append(one) or plain(one, *rest))
    monkeypatch.setattr(trl.trainer.dpo_trainer, "create_model_from_path", refuse)
    given = setting()
    trained = Simpo(learning_rate=1e-3, max_steps=15).optimize(couples, given)
    assert loads == [given.start]

    def leads(checkpoint: Any) -> list[float]:
        chosen, rejected = ([sum(score) / len(score) for score in side] for side in scores_of(couples, checkpoint))
        return [one - other for one, other in zip(chosen, rejected, strict=True)]

    assert sum(leads(trained)) > sum(leads(given.start)) + 1


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(RecipeError):
        Simpo(restart="best")
