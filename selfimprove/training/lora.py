"""Low-rank adapters by PEFT: train a small update of each weight matrix, and merge it into the weights at the end.

A round passes on full weights, so engines, evaluations and later rounds load an ordinary model. Paper:
arXiv:2106.09685 (LoRA), Hu et al., 2021; with frozen weights in 4 bits arXiv:2305.14314 (QLoRA), Dettmers et al., 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from selfimprove.errors import EngineError, RecipeError


@dataclass
class Lora:
    """An adapter, or none; alpha is our choice, the rest is PEFT's default."""

    r: int = 0
    """Rank of the update of a weight matrix; 0 trains the weights themselves."""
    alpha: int = 32
    """The update is multiplied by alpha / r."""
    dropout: float = 0.0
    """Share of the adapter's inputs that is dropped in training; the methods on pairs and KTO turn it off."""
    target_modules: list[str] | None = None
    """Names of the layers that get an adapter; null means every linear layer except the output layer."""
    load_in_4bit: bool = False
    """Keep the frozen weights in 4 bits (QLoRA). Needs a CUDA GPU and bitsandbytes; not tested on a GPU."""

    def __post_init__(self) -> None:
        if self.r < 0 or self.alpha < 1 or not 0 <= self.dropout < 1:
            raise RecipeError("lora takes r from 0 up, alpha from 1 up, and a dropout of at least 0 and below 1")


def adapter(lora: Lora, seed: int) -> Any:
    """TRL's `peft_config`; None without an adapter."""
    if not lora.r:
        return None
    from peft import LoraConfig
    from transformers import set_seed

    set_seed(seed)  # TRL draws the adapter before it sets its own seed
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules or "all-linear",
        task_type="CAUSAL_LM",
    )


def quantization(lora: Lora) -> Any:
    """The quantization of the frozen weights: None, or 4-bit NormalFloat with double quantization.

    Raises:
        EngineError: there is no CUDA GPU, or bitsandbytes is not installed.
    """
    if not lora.r or not lora.load_in_4bit:
        return None
    import torch

    if not torch.cuda.is_available() or find_spec("bitsandbytes") is None:
        raise EngineError("lora.load_in_4bit needs a CUDA GPU and bitsandbytes; set lora.load_in_4bit=false")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def merged(model: Any, base: Any = None) -> Any:
    """The model with its adapter merged; a model without an adapter unchanged.

    Args:
        base: the full frozen weights, to merge the adapter into if the model has quantized ones.
    """
    from accelerate.utils import is_peft_model

    if not is_peft_model(model):
        return model
    if base is not None:
        from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

        full = get_peft_model(base, model.peft_config["default"])
        set_peft_model_state_dict(full, get_peft_model_state_dict(model))
        model = full
    return model.merge_and_unload()
