"""The layer that differs most is subtracted; the last layer itself is refused."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.methods.refinement.dola import Dola, divergence

ROWS = st.lists(st.floats(-9, 9), min_size=3, max_size=3)


@given(ROWS, ROWS)
def test_a_divergence_is_at_least_zero_and_zero_for_equal_layers(own: list[float], other: list[float]) -> None:
    import torch

    last, early = (torch.tensor([row], dtype=torch.float64).log_softmax(-1) for row in (own, other))
    there, same = divergence(last, torch.stack([early, last]))[:, 0].tolist()
    assert there >= -1e-12 and there <= 0.6932 and abs(same) < 1e-12


def test_the_layer_that_differs_most_is_subtracted(table_model: ModuleType) -> None:
    """The last layer says 1 with 0.5, 4 with 0.4. Layer 1 is nearly the same; layer 2 says 1 with 0.8 and 4 with 0.1:
    log(0.5 / 0.8) < log(0.4 / 0.1), while against layer 1 the first would win. Below alpha 0.25 nothing is said."""
    last = {"1": 0.5, "4": 0.4, "7": 0.1}
    tables = {"weights": {"q0": last}, "weights layer 2": {"q0": {"1": 0.8, "4": 0.1, "7": 0.1}}}
    tables["weights layer 1"] = {"q0": {"1": 0.45, "4": 0.45, "7": 0.1}}
    engine = table_model.TableModel(tables=tables)
    for layers, text in (("1", "1"), ("2", "4"), ("1,2", "4")):
        [made] = table_model.answered(Dola(layers=layers, alpha=0.25), 1, engine)
        assert made.text == text, layers


def test_layers_are_named_or_numbered() -> None:
    with pytest.raises(RecipeError, match="low, high or numbers from 1"):
        Dola(layers="0")
