"""A checkpoint into memory for training, and back to disk."""

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
    """Model and tokenizer of a checkpoint, for training; in 4 bits where `lora` asks for it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint.path)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    rounded = quantization(lora)
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint.path,
        dtype=torch.float32,  # in bfloat16 most weights are too coarse for a step of the usual learning rates
        quantization_config=rounded,
        device_map={"": local_rank()} if rounded else None,  # they cannot be moved later
        use_safetensors=True,
        trust_remote_code=False,
    )
    if end_of(tokenizer) != tokenizer.eos_token_id:  # it is taught to end so: TRL samples by this, and it is saved
        model.generation_config.eos_token_id = ends_of(model, tokenizer)
    return model, tokenizer


def local_rank() -> int:
    """The GPU of this process among those that train together; 0 where it trains alone."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def frozen(reference: Checkpoint | None, start: Checkpoint, lora: Lora) -> Any:
    """The reference model for a trainer.

    None where there is none, and where the model in training is the reference without its adapter.
    """
    return None if reference is None or (lora.r and reference == start) else load(reference)[0]


def dtype_of(checkpoint: Checkpoint) -> Any:
    """The number type that the checkpoint's config.json names: engines run the weights in it."""
    import torch
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(checkpoint.path).dtype or torch.float32


def save(model: Any, tokenizer: Any, folder: Path, dtype: Any = None) -> Checkpoint:
    """A plain `save_pretrained` folder: safetensors, config, generation config, tokenizer, chat template.

    Of a model with an adapter a copy is merged and saved; the model itself can train on.

    Args:
        dtype: what config.json names, in which programs load the weights; None: that of the weights. What was trained
            stays in float32 on disk: rounded to bfloat16 after each round, small steps would be lost, most of them at
            a learning rate of 1e-6.
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
    """The weights share * old + (1 - share) * new of two models of one kind; saves to `folder`.

    Raises:
        DataError: the models have different weights.
    """
    import torch

    model, tokenizer = load(old if share == 1 else new)
    if 0 < share < 1:
        weights = dict(load(old)[0].named_parameters())
        mine = dict(model.named_parameters())  # a matrix that two layers share stands here once
        if {name: one.shape for name, one in mine.items()} != {name: one.shape for name, one in weights.items()}:
            raise DataError(f"{old.path} and {new.path} are models of different kinds: their weights cannot be merged")
        with torch.no_grad():
            for name, weight in mine.items():
                weight.lerp_(weights[name], share)
    return save(model, tokenizer, folder, dtype_of(new))
