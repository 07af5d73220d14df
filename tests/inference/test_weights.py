"""Scores by a plain forward pass, in one piece and in several."""

from __future__ import annotations

import json

import pytest

from selfimprove.errors import DataError
from selfimprove.inference import token_scores, weights

PAIRS = [(list(range(10, 17)), list(range(40, 70))), ([5], [6, 7]), ([8, 9], list(range(20, 31)))]


@pytest.fixture
def pieces(monkeypatch):
    """`pieces(model, statistic, places)`: scores with logits of so many positions at once, and how many there were."""

    def score(model, statistic, places):
        seen = []
        handle = model.register_forward_hook(lambda *given: seen.append(given[2].logits.shape[:2].numel()))
        monkeypatch.setattr(token_scores, "NUMBERS", places * model.config.vocab_size)
        made = token_scores.score(model, PAIRS, statistic, 8)
        handle.remove()
        return made, seen

    return score


@pytest.mark.parametrize("statistic", token_scores.STATISTICS)
@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral", "gemma3"])
def test_a_row_whose_logits_do_not_fit_is_scored_in_pieces(kind, statistic, pieces, small_llama, tmp_path):
    model, _ = weights.load(str(small_llama.build(tmp_path / "model", kind)), "cpu", "float32")
    if kind == "gemma3":
        model.config.final_logit_softcapping = 5.0
    whole, seen = pieces(model, statistic, 1000)
    assert seen == [3 * 37]
    for places in (36, 12, 5):
        found, seen = pieces(model, statistic, places)
        assert max(seen) <= places
        for one, other in zip(found, whole, strict=True):
            assert one == pytest.approx(other, abs=1e-4)


def test_a_model_with_another_state_than_keys_and_values_is_scored_whole(pieces, small_llama, tmp_path):
    model, _ = weights.load(str(small_llama.build(tmp_path / "model", "mamba")), "cpu", "float32")
    whole, _ = pieces(model, "logprob", 1000)
    found, seen = pieces(model, "logprob", 10)
    assert max(seen) == 37
    for one, other in zip(found, whole, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


# ---- packed weights ----------------------------------------------------------------------------------------------
HALVES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""The 4-bit floats of MXFP4; the highest bit is the sign."""


def test_mxfp4_becomes_the_numbers_that_it_stands_for(small_llama, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM, GptOssConfig

    config = GptOssConfig(vocab_size=40, hidden_size=32, intermediate_size=32, num_hidden_layers=1, head_dim=8)
    config.num_attention_heads, config.num_key_value_heads, config.num_local_experts = 4, 2, 2
    config.layer_types = ["full_attention"]
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    small_llama.tokenizer(template=False).save_pretrained(tmp_path)
    tensors, drawn = load_file(tmp_path / "model.safetensors"), torch.Generator().manual_seed(0)
    wanted = {}
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        experts, inner, outer = tensors.pop(name).shape
        blocks = torch.randint(256, (experts, outer, inner // 32, 16), generator=drawn, dtype=torch.uint8)
        scales = torch.randint(120, 130, (experts, outer, inner // 32), generator=drawn, dtype=torch.uint8)
        tensors |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        signed = torch.tensor([*HALVES, *(-half for half in HALVES)])
        pairs = torch.stack([signed[blocks.long() & 15], signed[blocks.long() >> 4]], dim=-1).flatten(-2)
        wanted[name] = (pairs * 2.0 ** (scales.float() - 127)[..., None]).flatten(-2).transpose(1, 2)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    said = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**said, "quantization_config": {"quant_method": "mxfp4"}}))
    found = dict(weights.load(str(tmp_path), "cpu", "float32")[0].named_parameters())
    assert len(wanted) == 2
    assert all(torch.equal(found[name].float(), value) for name, value in wanted.items())


def test_fp8_becomes_the_numbers_that_it_stands_for(small_llama, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    small_llama.build(tmp_path, hidden_size=32)
    tensors, wanted = load_file(tmp_path / "model.safetensors"), {}
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        packed = tensors[name].to(torch.float8_e4m3fn)
        scale = torch.full((1, 1), 0.5)
        tensors |= {name: packed, f"{name}_scale_inv": scale}
        wanted[name] = packed.float() * 0.5
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    said = json.loads((tmp_path / "config.json").read_text())
    packing = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    (tmp_path / "config.json").write_text(json.dumps({**said, "quantization_config": packing}))
    found = dict(weights.load(str(tmp_path), "cpu", "float32")[0].named_parameters())
    assert len(wanted) == 14
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_a_weight_of_another_size_than_the_config_says_is_named(small_llama, tmp_path):
    folder = small_llama.build(tmp_path / "model")
    weights.load(str(folder), "cpu", "float32")
    config = json.loads((folder / "config.json").read_text())
    wide = config["intermediate_size"] * 2
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": wide}))
    with pytest.raises(
        DataError, match=rf"layers\.0\.mlp\.\w+\.weight has the shape .*{wide}.*; they belong to"
    ) as caught:
        weights.load(str(folder), "cpu", "float32")
    assert "\n" not in str(caught.value) and "fetch config.json" in str(caught.value)
