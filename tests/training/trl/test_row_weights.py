"""What samplers ask of weights in training: exact, and without a trace."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from selfimprove.records import Checkpoint
from selfimprove.training.model_io import load
from selfimprove.training.trl.row_weights import RowWeights

ROWS = [[5, 9, 11, 4], [7, 9, 30, 31, 32, 8], [5, 9, 11, 4], [40, 41, 42]]
"""Tokens; the first of each is the prompt."""


@pytest.fixture(scope="module")
def asked(start: Checkpoint) -> RowWeights:
    import torch

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        width = max(len(row["input_ids"]) for row in rows)
        return {
            "input_ids": torch.tensor([row["input_ids"] + [0] * (width - len(row["input_ids"])) for row in rows]),
            "labels": torch.tensor([row["labels"] + [-100] * (width - len(row["labels"])) for row in rows]),
            "attention_mask": torch.tensor(
                [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
            ),
        }

    rows = [{"input_ids": ids, "labels": [-100, *ids[1:]]} for ids in ROWS]
    return RowWeights(load(start)[0], collate, rows, 2)


def gradients(asked: RowWeights, place: int) -> dict[str, Any]:
    """The gradient of one row's loss, with transformers' own loss."""
    import torch

    model = copy.deepcopy(asked.model).eval()
    ids = torch.tensor([ROWS[place]])
    model(input_ids=ids, labels=torch.tensor([[-100, *ROWS[place][1:]]])).loss.backward()
    linear = {name for name, one in model.named_modules() if isinstance(one, torch.nn.Linear)}
    return {name: one.grad for name, one in model.named_parameters() if name.removesuffix(".weight") in linear}


def test_losses_are_those_of_transformers_row_by_row(asked: RowWeights) -> None:
    import torch

    wanted = [
        asked.model(input_ids=torch.tensor([ids]), labels=torch.tensor([[-100, *ids[1:]]])).loss.item() for ids in ROWS
    ]
    assert asked.losses(range(4)) == pytest.approx(wanted, rel=1e-5)
    assert asked.losses([3, 0]) == pytest.approx([wanted[3], wanted[0]], rel=1e-5)


def test_products_are_those_of_explicit_gradients(asked: RowWeights) -> None:
    found = asked.products([0, 1], [0, 2, 3])
    explicit = [gradients(asked, place) for place in range(4)]
    for row, place in zip(found, (0, 1), strict=True):
        for value, other in zip(row, (0, 2, 3), strict=True):
            wanted = sum((explicit[place][name] * explicit[other][name]).sum().item() for name in explicit[place])
            assert value == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    assert found[0][0] == pytest.approx(found[0][1], rel=1e-5), "rows 0 and 2 say the same"


def test_the_gain_of_a_small_step_is_the_product_of_gradients_and_leaves_no_trace(asked: RowWeights) -> None:
    import torch

    before = {name: one.clone() for name, one in asked.model.state_dict().items()}
    torch.manual_seed(0)
    state = torch.get_rng_state()
    found = asked.gains([0, 1, 3], [2], 1e-3)
    assert all(torch.equal(one, before[name]) for name, one in asked.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(one.grad is None for one in asked.model.parameters())
    assert found[0] > 0 and found[0] == max(found), "a row like the one that is looked at helps it most"
    products = [1e-3 * row[0] for row in asked.products([0, 1, 3], [2])]
    assert sorted(range(3), key=found.__getitem__) == sorted(range(3), key=products.__getitem__)


def test_features_do_not_see_padding(asked: RowWeights) -> None:
    together, alone = asked.features([1, 3]), asked.features([3])
    assert together.shape[0] == 2 and together[1] == pytest.approx(alone[0], abs=1e-5)
