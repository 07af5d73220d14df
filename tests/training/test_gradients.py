"""Projected gradients of a tiny model: inner products are kept, batches do not matter, steps go where they point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from selfimprove.logs import Silent
from selfimprove.methods.model.tiny import Tiny
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.records import Checkpoint, Rollout
from selfimprove.training.gradients import BETAS, EPSILON, Gradients, chosen_of


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Tiny(hidden_size=16, intermediate_size=32, num_hidden_layers=1)._untrained(
        tmp_path_factory.mktemp("w"), seed=1
    )


@pytest.fixture(scope="module")
def rows() -> list[Rollout]:
    return ChainSums().demonstrations("solve", 12, 3)


def exact(gradients: Gradients, row: Rollout) -> torch.Tensor:
    found = torch.autograd.grad(gradients._loss([row]), gradients.weights, allow_unused=True)
    return torch.cat(
        [(torch.zeros_like(w) if g is None else g).reshape(-1) for w, g in zip(gradients.weights, found, strict=True)]
    )


def test_a_projection_keeps_inner_products_within_its_error(start: Checkpoint, rows: list[Rollout]) -> None:
    """The root mean square error of the cosines of all pairs is about 1 / sqrt(width)."""
    gradients = Gradients(start, 1024, 0, Silent())
    whole = torch.stack([exact(gradients, row) for row in rows]).numpy()
    made = gradients.of(rows)
    errors = []
    for one in range(12):
        for other in range(one):
            lengths = np.linalg.norm(whole[one]) * np.linalg.norm(whole[other])
            errors.append((made[one] @ made[other] - whole[one] @ whole[other]) / lengths)
    assert np.sqrt(np.mean(np.square(errors))) < 2 / np.sqrt(1024)
    assert made[3] == pytest.approx(gradients.of([rows[3]])[0], abs=1e-6)
    empty = Rollout(prompt=rows[0].prompt, completion=[{"role": "user", "content": "3"}])
    assert not gradients.of([empty]).any()


def test_adams_direction_by_hand(start: Checkpoint, rows: list[Rollout]) -> None:
    gradients = Gradients(start, 64, 0, Silent())
    assert gradients.of(rows[:1], adam=True) == pytest.approx(gradients.of(rows[:1]))  # no moments yet
    gradients.warm(rows, 2, 1e-3, 4)
    state = [gradients._optimizer.state[weight] for weight in gradients.weights]
    mean, square = (torch.cat([one[name].reshape(-1) for one in state]) for name in ("exp_avg", "exp_avg_sq"))
    now = exact(gradients, rows[0])
    step = (BETAS[0] * mean + (1 - BETAS[0]) * now) / ((BETAS[1] * square + (1 - BETAS[1]) * now**2).sqrt() + EPSILON)
    wanted = torch.zeros(64).index_add_(0, gradients._bucket, step * gradients._sign)
    assert gradients.of(rows[:1], adam=True)[0] == pytest.approx(wanted.numpy(), rel=1e-3, abs=1e-2)


def test_the_weights_of_a_large_model_are_its_last_matrices(start: Checkpoint) -> None:
    sizes = {"embed_tokens": 90, "layers.0.q": 10, "layers.0.o": 20, "layers.1.q": 10, "norm": 1, "lm_head": 90}
    assert chosen_of(sizes, 300) == [*sizes]
    assert chosen_of(sizes, 35) == ["layers.0.o", "layers.1.q", "norm"]
    assert chosen_of(sizes, 0) == ["norm"]
    few = Gradients(start, 8, 0, Silent(), most=300)
    assert sum(weight.numel() for weight in few.weights) <= 300 and few.of([]).shape == (0, 8)
    assert Path(start.path).is_dir()
