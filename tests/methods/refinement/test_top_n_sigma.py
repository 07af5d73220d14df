"""The kept tokens are the same at every temperature."""

from __future__ import annotations

import pytest

from selfimprove.methods.refinement.top_n_sigma import Near


@pytest.mark.parametrize(
    ("n", "kept"), [(0.0, [0]), (0.5, [0, 1]), (1.0, [0, 1]), (2.0, [0, 1, 2]), (4.0, [0, 1, 2, 3])]
)
def test_the_kept_tokens_by_hand_whatever_the_temperature(n: float, kept: list[int]) -> None:
    """Logits 8, 7, 3, 0: mean 4.5, sigma sqrt(41 / 4) = 3.2, so n = 0.5 keeps what is above 6.4."""
    import torch

    logits = torch.tensor([[8.0, 7.0, 3.0, 0.0]])
    for temperature in (0.25, 1.0, 3.0):
        shaped = Near(n).apply({"": (logits / temperature).log_softmax(-1)})
        assert (shaped[0] > -torch.inf).nonzero()[:, 0].tolist() == kept
        assert torch.equal(shaped[0, kept], (logits / temperature).log_softmax(-1)[0, kept])
