"""Drafts change how many forward passes a text takes, and nothing else."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from selfimprove.inference import choosing, drafts
from selfimprove.inference.decoding import Row, decode_rows
from selfimprove.inference.drafts import Lookup, decode_drafted
from selfimprove.interfaces import GREEDY, Sampling
from selfimprove.methods.refinement.top_n_sigma import Near

TOKENIZER = SimpleNamespace(eos_token_id=1, chat_template=None)
PROMPTS = [(5, 9, 11, 7, 3, 2, 8, 6), (12, 4, 3), (5, 9, 5, 9, 5)]


def build(seed: int = 0, vocabulary: int = 16, spread: float = 0.3) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=vocabulary, eos_token_id=1, initializer_range=spread, **sizes)
    return LlamaForCausalLM(config).eval()


def counted(model: Any, calls: list[int]) -> Any:
    """The handle of a hook that notes how many tokens each forward pass of a model takes."""
    return model.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )


ROWS = [
    Row(prompt, sample, sampling, limit, 7)
    for prompt in PROMPTS
    for sample in range(3)
    for sampling, limit in (
        (GREEDY, 90),
        (Sampling(), 30),
        (Sampling(temperature=0.7, top_k=5, note=("logprob", "entropy"), tops=2), 60),
        (Sampling(temperature=1.5, top_p=0.9), 1),
    )
]


@pytest.mark.parametrize("guesser", ["ngram", "same", "other"])
@pytest.mark.parametrize("tokens", [1, 4])
def test_the_completions_are_those_without_drafts(guesser: str, tokens: int) -> None:
    model = build()
    draft = {"ngram": None, "same": model, "other": build(seed=1)}[guesser]
    plain, drafted = decode_rows(model, TOKENIZER, ROWS), decode_drafted(model, TOKENIZER, ROWS, draft, tokens)
    assert drafted is not None
    for one, other in zip(plain, drafted, strict=True):
        assert (other.tokens, other.count, other.end) == (one.tokens, one.count, one.end)
        assert other.logprob == pytest.approx(one.logprob, abs=1e-3)
        assert {name: pytest.approx(row, abs=1e-3) for name, row in one.noted.items()} == other.noted
        assert [[token for token, _ in line] for line in other.tops] == [[t for t, _ in line] for line in one.tops]


def test_a_draft_that_is_the_model_is_always_right() -> None:
    """Greedy or not, because both draw with the same numbers: 4 guesses and one more token for each pass."""
    model, draft, calls = build(), build(), list[int]()
    rows = [Row(PROMPTS[0], sample, sampling, 41, 3) for sample in range(4) for sampling in (GREEDY, Sampling())]
    drawn = decode_drafted(model, TOKENIZER, rows, draft, 4)
    assert drawn is not None
    longest = max(one.count for one in drawn)
    handle = counted(model, calls)
    decode_drafted(model, TOKENIZER, rows, draft, 4)
    handle.remove()
    assert len(calls) == 1 + -(-(longest - 1) // 5)


def test_a_text_that_repeats_itself_is_guessed_from_itself() -> None:
    lookup = Lookup([(1, 2, 3, 4, 1, 2, 3), (1, 2, 9, 1, 2)])
    assert lookup.guess(0, 4) == [4, 1, 2, 3] and lookup.guess(0, 1) == [4]
    assert lookup.guess(1, 4) == [9, 1, 2]
    lookup.add(1, [7])
    assert lookup.guess(1, 4) == []


def test_a_text_with_a_stop_string_ends_there(small_llama: Any) -> None:
    tokenizer, model = small_llama.tokenizer(False), build(vocabulary=300, spread=0.2)
    rows = [Row(PROMPTS[1], sample, Sampling(stop=("a", "é")), 60, 0) for sample in range(8)]
    plain, drafted = decode_rows(model, tokenizer, rows), decode_drafted(model, tokenizer, rows, build(1, 300, 0.2), 3)
    assert drafted is not None and [vars(one) | {"logprob": 0} for one in drafted] == [
        vars(one) | {"logprob": 0} for one in plain
    ]
    assert any(one.stop for one in plain)


@pytest.mark.parametrize("guesser", ["ngram", "other"])
def test_the_distribution_by_enumeration(guesser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs of 64 uniform numbers for two tokens: the shares are the model's own, up to the grid."""
    import torch

    size, model = 64, build(vocabulary=6)
    grid = (torch.arange(size) + 0.5).numpy() / size
    numbers = torch.cartesian_prod(torch.tensor(grid), torch.tensor(grid)).float().numpy()
    monkeypatch.setattr(choosing, "uniforms", lambda seed, prompt, rows, length: numbers)
    prompt = (2, 3, 2, 3)
    rows = [Row(prompt, sample, Sampling(), 2, 0) for sample in range(size * size)]
    draft = None if guesser == "ngram" else build(seed=1, vocabulary=6)
    drawn = decode_drafted(model, TOKENIZER, rows, draft, 2)
    assert drawn is not None
    shares: dict[tuple[int, ...], float] = {}
    for one in drawn:
        line = (*one.tokens, *([1] if one.end else []))
        shares[line] = shares.get(line, 0.0) + 1 / size**2
    with torch.inference_mode():
        first = model(torch.tensor([prompt])).logits[0, -1].softmax(-1)
        for token in range(6):
            if token == 1:
                assert shares.get((1,), 0.0) == pytest.approx(float(first[1]), abs=1 / size)
                continue
            second = model(torch.tensor([[*prompt, token]])).logits[0, -1].softmax(-1)
            for other in range(6):
                assert shares.get((token, other), 0.0) == pytest.approx(
                    float(first[token] * second[other]), abs=2 / size
                )


def test_what_is_drawn_without_drafts() -> None:
    plain = Row((1,), 0, Sampling(), 8, 0)
    assert drafts.may(TOKENIZER, [plain])
    for sampling in (Sampling(shape=Near(1.0)), Sampling(pattern=("regex", "a"))):
        assert not drafts.may(TOKENIZER, [plain, dataclasses.replace(plain, sampling=sampling)])
