"""`dnpo`: the noise by hand, that it works against the policy, and that without noise nothing but DPO is left."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove.methods.optimization.dnpo import Dnpo, Noise
from selfimprove.methods.optimization.dpo import Dpo
from selfimprove.training import Places, resumable

STILL: dict[str, Any] = {"learning_rate": 0.0, "max_steps": 10}


@pytest.fixture
def places() -> Places:
    """Two completions over a vocabulary of three, of two tokens and of one."""
    import torch

    logits = torch.tensor([[[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]], [[3.0, 0.0, 0.0], [9.0, 9.0, 9.0]]])
    states = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [7.0, 7.0]]])
    return Places(states, logits, torch.tensor([[2, 0], [0, 1]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]]))


def test_without_noise_it_is_the_reference_s_log_probability(places: Places) -> None:
    known, variance = Noise(0.0, 1e-3, seed=0).reference(places)
    first = 2 - math.log(1 + math.e + math.e**2) - math.log(3)
    assert known.tolist() == pytest.approx([first, 3 - math.log(math.e**3 + 2)], abs=1e-6)
    assert variance.item() == 0


def test_the_deviation_follows_from_the_state_and_is_bounded(places: Places) -> None:
    """At first sqrt(bound) / 2 everywhere; then sqrt(bound) * sigmoid(w s + b), at the completions' own places only."""
    import torch

    noise = Noise(4.0, 1e-3, seed=0)
    assert noise.reference(places)[1].item() == pytest.approx(1.0)
    with torch.no_grad():
        noise.layer.weight[:] = torch.tensor([[1.0, 0.0]] * 3)
    values = [4 * (1 / (1 + math.exp(-s))) ** 2 for s in (1.0, 0.0, 2.0)]  # the place beyond the second's end: not it
    assert noise.reference(places)[1].item() == pytest.approx(sum(values) / 3, abs=1e-6)
    with torch.no_grad():
        noise.layer.bias[:] = 100.0
    assert noise.reference(places)[1].item() == pytest.approx(4.0, abs=1e-6)


def test_each_draw_is_another_and_the_seed_decides_it(places: Places) -> None:
    draws = [[noise.reference(places)[0].tolist() for _ in range(2)] for noise in (Noise(1, 0, 3), Noise(1, 0, 3))]
    assert draws[0] == draws[1] and draws[0][0] != draws[0][1]
    assert Noise(1, 0, 4).reference(places)[0].tolist() != draws[0][0]


@pytest.mark.runs
@pytest.mark.parametrize(("bound", "same"), [(0.0, True), (1.0, False)])
def test_without_noise_it_is_dpo(couples: list, setting: Callable, bound: float, same: bool) -> None:
    import torch
    from safetensors.torch import load_file

    plan: dict[str, Any] = {"learning_rate": 1e-4, "max_steps": 3, "beta": 0.3}
    one, other = setting("dnpo"), setting("dpo")
    Dnpo(bound=bound, **plan).optimize(couples, one)
    Dpo(**plan).optimize(couples, other)
    mine, theirs = (load_file(given.folder / "model/model.safetensors") for given in (one, other))
    assert all(torch.allclose(mine[name], theirs[name], atol=1e-5) for name in mine) is same


@pytest.mark.parametrize(("alpha", "rises"), [(0.0, True), (100.0, False)])
def test_the_noise_grows_against_the_margin_until_its_variance_costs_more(
    couples: list, setting: Callable, alpha: float, rises: bool
) -> None:
    """Noise makes a rejected text less likely under the reference on average, which is a smaller margin."""
    given = setting()
    Dnpo(alpha=alpha, noise_learning_rate=0.03, **STILL).optimize(couples, given)
    first, last = given.log.metrics["dnpo/variance_first"], given.log.metrics["dnpo/variance_last"]
    assert first == pytest.approx(0.25)
    assert (last > first + 0.01) if rises else (last < first - 0.05)


@pytest.mark.runs
def test_the_policy_has_something_to_learn_where_dpo_has_hardly_anything(couples: list, setting: Callable) -> None:
    """Where the margins are large already, the loss of DPO is near 0; against a noisy reference it is not."""
    moved = Dpo(learning_rate=1e-3, max_steps=6).optimize(couples, setting("moved"))
    losses = {}
    for method in (Dpo(beta=0.5, reference="base", **STILL), Dnpo(beta=0.5, bound=100.0, reference="base", **STILL)):
        given = setting(type(method).__name__)
        given = replace(given, policy=replace(given.policy, checkpoint=moved))
        method.optimize(couples, given)
        losses[type(method).__name__] = given.log.metrics["train/loss"]
    assert losses["Dpo"] < 0.2 and losses["Dnpo"] > 2 * losses["Dpo"]


def test_a_training_that_was_stopped_does_not_go_on_without_its_noise(couples: list, setting: Callable) -> None:
    """The noise is in no checkpoint, so none is asked for and the training is done again; that of DPO asks."""

    class Shelf:
        def newest(self, training: int) -> Path | None:
            raise LookupError("asked")

        def keep(self, training: int, step: int, write: Callable[[Path], None]) -> None: ...
        def drop(self, checkpoint: Path, reason: str) -> None: ...

    with resumable(Shelf()):
        assert Dnpo(max_steps=1).optimize(couples, setting("dnpo")).path
        with pytest.raises(LookupError, match="asked"):
            Dpo(max_steps=1).optimize(couples, setting("dpo"))
