"""Decoding against `generate` and against forward passes that keep nothing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from selfimprove.inference import choosing
from selfimprove.inference.choosing import draw as choose
from selfimprove.inference.decoding import Row, decode, decode_rows
from selfimprove.interfaces import GREEDY, Sampling

TOKENIZER = SimpleNamespace(eos_token_id=1, chat_template=None)
PROMPTS = [(5, 9, 11, 7, 33, 21, 8, 6), (12, 40, 3)]
LENGTH = 40
"""More than the cache has room for at first."""


def build(kind: str, attention: str | None = None) -> Any:
    """A model with random weights that ends completions with token 1."""
    import torch
    import transformers

    shape: dict[str, Any] = {
        "vocab_size": 64,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "initializer_range": 0.3,
        "eos_token_id": 1,
        "attn_implementation": attention,
    }
    more = {
        "llama": {"intermediate_size": 64, "num_key_value_heads": 2},
        "gptj": {"rotary_dim": 8},
        "falcon": {"alibi": True},
    }
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **shape, **more.get(kind, {}))
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    model.generation_config.eos_token_id = 1
    return model


def greedy(model: Any) -> list[list[int]]:
    """The greedy completions of the prompts in one batch, without an end token."""
    groups = decode(model, TOKENIZER, PROMPTS, 1, GREEDY, LENGTH, 0)
    return [group[0].tokens for group in groups]


def generated(model: Any) -> list[list[int]]:
    """The same by `generate`."""
    import torch

    width = max(map(len, PROMPTS))
    tokens = torch.tensor([[0] * (width - len(one)) + list(one) for one in PROMPTS])
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in PROMPTS])
    out = model.generate(tokens, attention_mask=mask, do_sample=False, max_new_tokens=LENGTH, pad_token_id=0)
    lines = out[:, width:].tolist()
    return [line[: line.index(1)] if 1 in line else line for line in lines]


def as_on_a_gpu() -> Any:
    """Within it tensors say that they are on a GPU, which refuses running sums of floats, as a deterministic one does."""
    import torch
    from torch.overrides import TorchFunctionMode

    class OnGpu(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(function, "__self__", None) is torch.Tensor.is_cuda:
                return True
            if function is torch.Tensor.cumsum and args[0].is_floating_point():
                raise RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation")
            return function(*args, **(kwargs or {}))

    return OnGpu()


@pytest.mark.runs
def test_float32_weights_draw_under_autocast_what_a_forward_pass_of_all_tokens_says():
    import torch

    model = build("llama", "sdpa")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        groups = decode(model, TOKENIZER, PROMPTS, 3, Sampling(max_completion_length=LENGTH), LENGTH, 5)
        draws = [(prompt, draw) for prompt, group in zip(PROMPTS, groups, strict=True) for draw in group]
        assert len(draws) == 6 and max(draw.count for _, draw in draws) > 20
        for prompt, draw in draws:
            said = [*draw.tokens, 1][: draw.count]
            with torch.inference_mode():
                logprobs = (
                    model(torch.tensor([[*prompt, *said]])).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
                )
            expected = float(logprobs.gather(-1, torch.tensor(said)[:, None]).sum())
            assert draw.logprob == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("kind", "attention"),
    [("llama", "sdpa"), ("llama", "eager"), ("gptj", None), ("mpt", None), ("bloom", None), ("falcon", "sdpa")],
)
def test_every_kind_of_attention_gives_what_generate_gives_on_a_batch_padded_on_the_left(kind, attention):
    model = build(kind, attention)
    lines = generated(model)
    assert max(map(len, lines)) == LENGTH
    assert greedy(model) == lines


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(top_p=0.8), Sampling(top_k=9, top_p=0.9, min_p=0.02)], ids=str
)
def test_a_gpu_held_to_deterministic_algorithms_draws_the_same_tokens(sampling):
    model = build("llama")
    expected = decode(model, TOKENIZER, PROMPTS, 16, sampling, 12, 5)
    with as_on_a_gpu():
        found = decode(model, TOKENIZER, PROMPTS, 16, sampling, 12, 5)
    assert [[draw.tokens for draw in group] for group in found] == [[d.tokens for d in group] for group in expected]


def test_a_gpu_never_draws_a_token_of_probability_0():
    import torch

    probability = 1 / 3
    logits = torch.tensor([[0.0, probability, 0.0, probability, 0.0, probability, 0.0]]).log().repeat(1000, 1)
    uniforms = torch.cat([torch.arange(999) / 999, torch.tensor([1 - 2.0**-24])])
    with as_on_a_gpu():
        chosen = choose(logits, Sampling(), uniforms).tolist()
    assert chosen == sorted(chosen)
    assert [chosen.count(token) for token in range(7)] == [0, 333, 0, 333, 0, 334, 0]


def test_rows_are_chosen_for_in_pieces_and_no_other_step_holds_them_all(monkeypatch):
    import torch
    from torch.overrides import TorchFunctionMode

    class Largest(TorchFunctionMode):
        """Sees every number type and softmax of logits, and how many numbers it has."""

        numbers = 0

        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = function(*args, **(kwargs or {}))
            if function in (torch.Tensor.softmax, torch.Tensor.log_softmax, torch.Tensor.topk, torch.Tensor.cumsum):
                first = made if isinstance(made, torch.Tensor) else made[0]
                self.numbers = max(self.numbers, first.numel())
            return made

    model = build("llama")
    sampling = Sampling(top_k=9, top_p=0.9, note=("entropy",), tops=2)
    whole = decode(model, TOKENIZER, PROMPTS, 16, sampling, 12, 5)
    monkeypatch.setitem(choosing.PIECE, "cpu", 3 * 64)
    with Largest() as largest:
        assert decode(model, TOKENIZER, PROMPTS, 16, sampling, 12, 5) == whole
    assert largest.numbers == 3 * 64


def test_tokens_are_heard_as_they_are_drawn_without_the_end_token() -> None:
    model, heard = build("llama"), dict[int, list[tuple[int, int]]]()
    rows = [
        Row(
            prompt,
            sample,
            Sampling(),
            LENGTH,
            3,
            hear=(lambda place, token, row=row: heard[row].append((place, token)),),
        )
        for row, (prompt, sample) in enumerate((prompt, sample) for prompt in PROMPTS for sample in range(24))
    ]
    heard |= {row: [] for row in range(len(rows))}
    quiet = [replace(row, hear=()) for row in rows]
    drawn = decode_rows(model, TOKENIZER, rows)
    assert [one.tokens for one in drawn] == [one.tokens for one in decode_rows(model, TOKENIZER, quiet)]
    assert any(one.end == 1 for one in drawn)
    for row, one in enumerate(drawn):
        assert heard[row] == list(enumerate(one.tokens))
