"""The numbers of tokens in the vocabulary, beside what a model says of them."""

from __future__ import annotations

from typing import Any

import pytest

from selfimprove.inference import weights
from selfimprove.inference.token_scores import number, score

PAIRS = [([5, 6], [7, 8, 9]), ([5], [])]


def test_the_likeliest_token_by_hand() -> None:
    """Of three tokens with .2, .7 and .1 the second is the likeliest, wherever the given one is."""
    import torch

    logprobs, tokens = torch.tensor([[[0.2, 0.7, 0.1]] * 2]).log(), torch.tensor([[0, 1]])
    assert number(logprobs, tokens, "likeliest").tolist() == [[1, 1]]
    assert number(logprobs, tokens, "behind").tolist()[0] == pytest.approx([1.2528, 0.0], abs=1e-4)


def test_numbers_of_tokens_agree_with_their_probabilities(small_llama: Any, tmp_path: Any) -> None:
    """Where the given token is the likeliest one, it is not behind, and elsewhere it is."""
    model, _ = weights.load(str(small_llama.build(tmp_path / "model", "llama")), "cpu", "float32")
    given, likeliest, behind = (score(model, PAIRS, name, 8) for name in ("token", "likeliest", "behind"))
    assert given == [[7, 8, 9], []] and [len(row) for row in likeliest] == [3, 0]
    for row in zip(given[0], likeliest[0], behind[0], strict=True):
        assert (row[0] == row[1]) == (row[2] == 0)
    greedy = score(model, [([5, 6], [int(likeliest[0][0])])], "behind", 8)
    assert greedy == [[0.0]]
