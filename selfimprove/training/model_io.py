"""Load a checkpoint for training, and save it."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, StorageError
from selfimprove.inference.chat import end_of
from selfimprove.inference.weights import ends_of
from selfimprove.records import Checkpoint
from selfimprove.training.lora import Lora, merged, quantization

NONE = Lora()


def load(checkpoint: Checkpoint, lora: Lora = NONE) -> tuple[Any, Any]:
    """Model and tokenizer of a checkpoint for training; in 4 bits if `lora` asks for it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint.path)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    rounded = quantization(lora)
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint.path,
        dtype=torch.float32,  # bfloat16 rounds away most steps at usual learning rates
        quantization_config=rounded,
        device_map={"": local_rank()} if rounded else None,  # quantized weights cannot be moved later
        use_safetensors=True,
        trust_remote_code=False,
    )
    if end_of(tokenizer) != tokenizer.eos_token_id:  # TRL samples with this token, and it is saved
        model.generation_config.eos_token_id = ends_of(model, tokenizer)
    return model, tokenizer


def without_dropout(model: Any) -> None:
    """Set every dropout probability of a model to 0, in modules and in the numbers that layers keep; in training mode
    it then computes what it computes outside. Its config, which is saved, stays."""
    from torch.nn.modules.dropout import _DropoutNd

    for module in model.modules():
        names = ["p"] if isinstance(module, _DropoutNd) else [name for name in vars(module) if "drop" in name]
        for name in names:
            if isinstance(getattr(module, name), float):
                setattr(module, name, 0.0)


def local_rank() -> int:
    """The GPU of this process among those that train together; 0 if it trains alone."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def frozen(reference: Checkpoint | None, start: Checkpoint, lora: Lora) -> Any:
    """The reference model for a trainer.

    None without a reference, or if the reference is the model in training without its adapter.
    """
    return None if reference is None or (lora.r and reference == start) else load(reference)[0]


def dtype_of(checkpoint: Checkpoint) -> Any:
    """The dtype in the checkpoint's config.json, in which engines run the weights."""
    import torch
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(checkpoint.path).dtype or torch.float32


def save(model: Any, tokenizer: Any, folder: Path, dtype: Any = None) -> Checkpoint:
    """Save a plain `save_pretrained` folder: safetensors, config, generation config, tokenizer, chat template.

    For a model with an adapter a merged copy is saved; the model itself can continue training.

    Args:
        dtype: the dtype in config.json, in which programs load the weights; None means that of the weights. Trained
            weights stay in float32 on disk, because rounding to bfloat16 after each round would lose small updates,
            most of them at a learning rate of 1e-6.
    """
    from accelerate.utils import is_peft_model
    from safetensors import SafetensorError

    if is_peft_model(model):
        model = merged(copy.deepcopy(model))
    try:
        model.generation_config.validate(strict=True)
    except ValueError:  # many published models name a temperature but not do_sample, which cannot be saved
        model.generation_config.do_sample = True
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except SafetensorError as error:  # it hides the OSError of a full disk in its text
        raise StorageError(f"cannot write the weights to {folder}: {error}") from error
    config = folder / "config.json"
    values = json.loads(config.read_text())
    if dtype is not None and values["dtype"] != str(dtype).removeprefix("torch."):
        config.write_text(json.dumps({**values, "dtype": str(dtype).removeprefix("torch.")}, indent=2) + "\n")
    return Checkpoint(path=str(folder))


def blend(old: Checkpoint, new: Checkpoint, share: float, folder: Path) -> Checkpoint:
    """Save the weights share * old + (1 - share) * new of two models with the same architecture to `folder`.

    Raises:
        DataError: the models have different architectures.
    """
    import torch

    model, tokenizer = load(old if share == 1 else new)
    if 0 < share < 1:
        weights = dict(load(old)[0].named_parameters())
        mine = dict(model.named_parameters())  # has a shared matrix once
        if {name: one.shape for name, one in mine.items()} != {name: one.shape for name, one in weights.items()}:
            raise DataError(f"{old.path} and {new.path} are models of different kinds: their weights cannot be merged")
        with torch.no_grad():
            for name, weight in mine.items():
                weight.lerp_(weights[name], share)
    return save(model, tokenizer, folder, dtype_of(new))
