"""What early layers say equals a model that ends there, whatever else is in the batch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from selfimprove.errors import RecipeError
from selfimprove.inference.decoding import Row, decode_rows
from selfimprove.inference.early_layers import Early, numbers_of
from selfimprove.interfaces import GREEDY, Sampling
from selfimprove.methods.refinement.dola import Matured


@pytest.mark.parametrize(
    ("wanted", "layers", "found"),
    [
        ("low", 32, tuple(range(2, 16, 2))),
        ("high", 32, tuple(range(16, 32, 2))),
        ("high", 2, (1,)),
        ("low", 4, (1,)),
        ((1, 3), 4, (1, 3)),
        ((4,), 4, None),
        ((0,), 4, None),
        ("low", 2, None),
    ],
)
def test_the_numbers_of_layers(wanted: str | tuple[int, ...], layers: int, found: tuple[int, ...] | None) -> None:
    if found is None:
        with pytest.raises(RecipeError, match="early ones are 1 to"):
            numbers_of(wanted, layers)
    else:
        assert numbers_of(wanted, layers) == found


def test_an_early_layer_is_the_model_that_ends_there() -> None:
    """Dola draws what full forwards of the whole model and of its first layer say, also beside plain rows."""
    import copy

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=64, eos_token_id=1, initializer_range=0.3, **sizes)).eval()
    short = copy.deepcopy(model)
    short.model.layers = short.model.layers[:1]
    shape = Matured((1,), 0.1)
    prompts = [(5, 9, 11), (12, 40, 3, 8)]
    dola = Sampling(temperature=0.0, shape=shape)
    rows = [Row(prompt, 0, one, 8, 0) for prompt in prompts for one in (dola, GREEDY)]
    drawn = decode_rows(model, SimpleNamespace(eos_token_id=1, chat_template=None), rows)
    for row, draw in zip(rows, drawn, strict=True):
        line = list(row.prompt)
        for token in draw.tokens:
            with torch.inference_mode():
                both = {
                    name: one(torch.tensor([line])).logits[:, -1].float().log_softmax(-1)
                    for name, one in (("", model), ("layer 1", short))
                }
            said = shape.apply(both) if row.sampling is dola else both[""]
            assert int(said.argmax()) == token
            line.append(token)
    assert not any(layer._forward_hooks for layer in model.model.layers), "the model is free again"
    assert Early(model, [()]).logits() == {}


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("qwen3", {}),
        ("gpt2", {"n_embd": 32, "n_head": 4, "n_layer": 3}),
        ("cohere", {"logit_scale": 0.25}),
        ("gemma2", {"head_dim": 8, "final_logit_softcapping": 0.5}),
        ("granite", {"logits_scaling": 3.0}),
    ],
)
def test_the_norm_and_the_head_are_those_of_the_model(kind: str, more: dict[str, float]) -> None:
    """The hidden states of the last layer, sent the same way as early ones, give the model's own logits."""
    import torch
    import transformers

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    some = {"vocab_size": 64, "num_key_value_heads": 2, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    config = transformers.AutoConfig.for_model(kind, **{**sizes, **some, "initializer_range": 0.3, **more})
    model, last = transformers.AutoModelForCausalLM.from_config(config).eval(), list[torch.Tensor]()
    with torch.inference_mode(), Early(model, ["high"]) as early:
        hook = lambda module, given, out: last.append((out[0] if isinstance(out, tuple) else out)[:, -1])  # noqa: E731
        early._blocks[-1].register_forward_hook(hook)
        logits = model(torch.tensor([[5, 6, 7]])).logits[:, -1]
        assert list(early.logits()) == ["layer 2"]
        assert torch.allclose(early._said(last[0]), logits, atol=1e-5)
