"""`sppo`: the loss by hand, half of TRL's hard one, and where it comes to rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.methods.optimization.dpo import Dpo
from selfimprove.methods.optimization.sppo import Sppo

STILL: dict[str, Any] = {"learning_rate": 0.0, "max_steps": 10}


def winning(pairs: list, chosen: float, rejected: float) -> list:
    return [replace(pair, info={"p_chosen": chosen, "p_rejected": rejected}) for pair in pairs]


@pytest.mark.parametrize(("chosen", "rejected"), [(1.0, 0.0), (0.8, 0.3), (0.5, 0.5)])
def test_the_first_loss_by_hand(couples: list, setting: Callable, chosen: float, rejected: float) -> None:
    given = setting()
    Sppo(beta=0.5, **STILL).optimize(winning(couples, chosen, rejected), given)
    wanted = ((chosen - 0.5) ** 2 + (rejected - 0.5) ** 2) / 0.5**2 / 2
    assert given.log.metrics["train/loss"] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.runs
def test_hard_is_half_of_trl_s_sppo_hard(couples: list, setting: Callable) -> None:
    moved = Dpo(learning_rate=1e-3, max_steps=3).optimize(couples, setting("moved"))
    losses = []
    for name, method in (
        ("ours", Sppo(beta=1.0, hard=True, reference="base", **STILL)),
        ("theirs", Dpo(beta=1.0, loss_type=["sppo_hard"], reference="base", **STILL)),
    ):
        given = setting(name)
        given = replace(given, policy=replace(given.policy, checkpoint=moved))
        method.optimize(couples, given)
        losses.append(given.log.metrics["train/loss"])
    assert losses[1] > 1
    assert losses[0] == pytest.approx(losses[1] / 2, rel=1e-4)


@pytest.mark.runs
def test_it_rests_where_the_log_ratios_are_the_win_rates(couples: list, scores_of: Callable, setting: Callable) -> None:
    """P = 0.9 and 0.4 at beta 0.5: log pi - log ref goes to +0.8 and -0.2."""
    plan: dict[str, Any] = {"learning_rate": 2e-3, "max_steps": 60, "lr_scheduler_type": "linear"}
    trained = Sppo(beta=0.5, **plan).optimize(winning(couples[:2], 0.9, 0.4), setting())
    before, after = scores_of(couples[:2]), scores_of(couples[:2], trained)
    up, down = (
        [sum(new) - sum(old) for new, old in zip(a, b, strict=True)] for a, b in zip(after, before, strict=True)
    )
    assert up == pytest.approx([0.8, 0.8], abs=0.1)
    assert down == pytest.approx([-0.2, -0.2], abs=0.1)


def test_pairs_without_win_rates_are_refused(couples: list, setting: Callable) -> None:
    with pytest.raises(DataError, match="sppo_pairs"):
        Sppo().optimize(couples, setting())


@pytest.mark.parametrize("options", [{"restart": "best"}, {"reference": "last"}])
def test_unknown_choices_are_refused(options: dict) -> None:
    with pytest.raises(RecipeError):
        Sppo(**options)
