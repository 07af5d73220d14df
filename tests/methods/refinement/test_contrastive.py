"""Pushed away from an amateur, by hand; away from itself nothing is changed but that unlikely tokens go."""

from __future__ import annotations

import math
from dataclasses import replace
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.methods.refinement.contrastive import Contrast, Contrastive

ROWS = st.lists(st.floats(-5, 5), min_size=4, max_size=4)


@given(ROWS, ROWS, st.sampled_from([0.0, 0.1, 0.5]), st.sampled_from([0.0, 0.5, 2.0]))
def test_the_properties_of_the_shape(own: list[float], other: list[float], alpha: float, beta: float) -> None:
    import torch

    expert, amateur = (torch.tensor([row], dtype=torch.float64).log_softmax(-1) for row in (own, other))
    made = Contrast("start", alpha, beta).apply({"": expert, "start": amateur})
    kept = made[0] > -torch.inf
    assert torch.equal(kept, expert[0] >= expert.max() + (math.log(alpha) if alpha else -math.inf))
    assert float(made.softmax(-1).sum()) == pytest.approx(1.0)
    if beta == 0:
        assert torch.equal(made[0, kept], expert[0, kept])
    same = Contrast("start", alpha, beta).apply({"": expert, "start": expert})
    assert torch.allclose(same[0, kept], expert[0, kept])


def test_the_expert_prefers_what_the_amateur_does_not_say(table_model: ModuleType) -> None:
    """The expert likes #1: log 0.55 > log 0.45. But 1.5 log 0.55 - 0.5 log 0.9 = -0.84 < 1.5 log 0.45 - 0.5 log 0.1."""
    says = {"weights": {"q0": {"1": 0.55, "4": 0.45}}, "first": {"q0": {"1": 0.9, "4": 0.1}}}
    engine = table_model.TableModel(tables=says)

    def others(name: str):
        plain = table_model.policy_of((), engine)
        return replace(plain, checkpoint=replace(plain.checkpoint, path="first"))

    for beta, text in ((0.0, "1"), (0.5, "4")):
        [made] = table_model.answered(Contrastive(beta=beta), 1, engine, others=others)
        assert made.text == text
    with pytest.raises(RecipeError, match="start, champion, before"):
        Contrastive(amateur="teacher")
