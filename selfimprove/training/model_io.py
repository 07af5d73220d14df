"""Load a checkpoint for training, and save it."""

from __future__ import annotations

import copy
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, StorageError
from selfimprove.inference import described, tokenizers
from selfimprove.inference.chat import end_of
from selfimprove.inference.weights import ends_of, opened
from selfimprove.records import Checkpoint
from selfimprove.safety.weight_files import tensors_of
from selfimprove.training.companions import carry
from selfimprove.training.lora import Lora, merged, quantization

NONE = Lora()


def load(checkpoint: Checkpoint, lora: Lora = NONE) -> tuple[Any, Any]:
    """Model and tokenizer of a checkpoint for training; in 4 bits if `lora` asks for it."""
    described.check(Path(checkpoint.path))
    tokenizer = tokenizers.read(checkpoint.path)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = _model(checkpoint, lora)
    if end_of(tokenizer) != tokenizer.eos_token_id:  # TRL samples with this token
        model.generation_config.eos_token_id = ends_of(model, tokenizer)
    return model, tokenizer


def _model(checkpoint: Checkpoint, lora: Lora) -> Any:
    import torch

    rounded = quantization(lora)
    return opened(
        checkpoint.path,
        dtype=torch.float32,  # bfloat16 rounds away most steps at usual learning rates
        quantization_config=rounded,
        device_map={"": local_rank()} if rounded else None,  # quantized weights cannot be moved later
    )


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
    if reference is None or (lora.r and reference == start):
        return None
    described.check(Path(reference.path))
    return _model(reference, NONE)  # nothing is drawn with it: its tokenizer, a second for 150,000 words, is not read


def dtype_of(checkpoint: Checkpoint) -> Any:
    """The dtype in which engines run the weights: that of the checkpoint's config.json, else that of most weights."""
    import torch
    from transformers import AutoConfig

    if said := AutoConfig.from_pretrained(checkpoint.path).dtype:
        return said
    found = Counter[str]()
    for tensor in tensors_of(Path(checkpoint.path)).values():
        found[tensor.dtype] += math.prod(tensor.shape)
    kinds = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    return kinds.get(next((kind for kind, _ in found.most_common() if kind in kinds), ""), torch.float32)


def save(model: Any, tokenizer: Any, folder: Path, start: Checkpoint | None = None) -> Checkpoint:
    """Save a plain `save_pretrained` folder: safetensors, config, generation config, tokenizer, chat template.

    For a model with an adapter a merged copy is saved; the model itself can continue training.

    Args:
        start: the weights that training started from, whose other files are kept, see `companions`. Trained weights
            stay in float32 on disk, because rounding to bfloat16 after each round would lose small updates, most of
            them at a learning rate of 1e-6; programs load them in the dtype of config.json, which is the start's.
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
        if start is None:
            tokenizer.save_pretrained(folder)
    except SafetensorError as error:  # it hides the OSError of a full disk in its text
        raise StorageError(f"cannot write the weights to {folder}: {error}") from error
    if start is not None:
        carry(Path(start.path), folder, str(dtype_of(start)).removeprefix("torch."), end_of(tokenizer))
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
    return save(model, tokenizer, folder, new)
