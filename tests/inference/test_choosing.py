"""The next token: the same distribution as transformers' own filters give, without sorting the vocabulary."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.inference import choosing
from selfimprove.interfaces import Sampling

VOCABULARY = 6000
"""More than 64 blocks of 64, so that small filters look at blocks first, and no multiple of 64."""
DRAWS = 50

FILTERS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.7, 1.0, 3.0]),
    top_k=st.sampled_from([0, 1, 4, 40, 700, 9000]),
    top_p=st.sampled_from([1.0, 0.2, 0.9, 0.999]),
    min_p=st.sampled_from([0.0, 0.01, 0.3]),
)


def by_transformers(logits: Any, sampling: Sampling) -> Any:
    """The probabilities (vocabulary,) after transformers' warpers, in the order of `generate`."""
    from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    scores = (logits / sampling.temperature)[None]
    chain: list[Any] = [TopKLogitsWarper(sampling.top_k)] if sampling.top_k else []
    chain += [TopPLogitsWarper(sampling.top_p)] if sampling.top_p < 1 else []
    chain += [MinPLogitsWarper(sampling.min_p)] if sampling.min_p else []
    for warp in chain:
        scores = warp(None, scores)
    return scores.softmax(-1)[0]


@settings(max_examples=20, deadline=None)
@given(FILTERS, st.integers(0, 2**20), st.sampled_from([0.5, 4.0]), st.booleans())
def test_evenly_spread_numbers_draw_each_token_as_often_as_transformers_says(sampling, seed, scale, coarse):
    import torch

    logits = torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed)) * scale
    if coarse and sampling.top_p == 1:  # with ties, as in 16 bits, which transformers breaks by chance in a nucleus
        logits = logits.bfloat16().float()
    uniforms = (torch.arange(DRAWS) + 0.5) / DRAWS
    chosen = choosing.draw(logits.expand(DRAWS, -1), sampling, uniforms)
    found = torch.bincount(chosen, minlength=VOCABULARY) / DRAWS
    expected = by_transformers(logits, sampling)
    apart = (found.cumsum(0) - expected.cumsum(0)).abs().max().item()
    assert apart < 1 / DRAWS, "no share of the tokens up to any is off by one draw"
    assert bool((expected[chosen] > 0).all())


@pytest.mark.parametrize("sampling", [Sampling(top_k=3), Sampling(top_p=0.5), Sampling(top_k=5, top_p=0.6)], ids=str)
def test_tokens_of_equal_probability_stay_together(sampling):
    import torch

    logits = torch.full((64, VOCABULARY), -9.0)
    equal = [7, 100, 2500, 2501, 5990]
    logits[:, equal] = 5.0
    chosen = choosing.draw(logits, sampling, (torch.arange(64) + 0.5) / 64)
    assert sorted(set(chosen.tolist())) == equal


def test_the_largest_numbers_are_found_in_blocks_wherever_they_lie():
    import torch

    numbers = torch.rand(5, VOCABULARY, generator=torch.Generator().manual_seed(1))
    numbers[0, :6], numbers[1, -6:] = 2.0, 2.0 + torch.arange(6)
    for count in (1, 6, 20):
        values, tokens = choosing._largest(numbers, count)
        assert torch.equal(values, numbers.topk(count).values)
        assert torch.equal(numbers.gather(-1, tokens), values)
        assert all(len(set(line)) == count for line in tokens.tolist())
