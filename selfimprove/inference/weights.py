"""A checkpoint in transformers and its plain forward pass: the reference for every local engine.

The transformers engine computes its numbers with it, and the vLLM engine checks its weights against it. Numbers are per
token and for the model's own distribution: temperature 1, no filters.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError, DeviceError, EngineError, RecipeError
from selfimprove.inference import described, memory, tokenizers
from selfimprove.inference.chat import end_of
from selfimprove.safety.quantized import UNPACKED

DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")


def load(path: str, device: str, dtype: str) -> tuple[Any, Any]:
    """Model and tokenizer of a folder or hub id, ready to run; a PEFT adapter is loaded on its base.

    Args:
        device: as torch names it, `auto` for a GPU if there is one, or `spread` for the layers over all GPUs, as far as
            they have free memory, and the rest on the CPU.
        dtype: as torch names it, or `auto` for the dtype of the saved weights.

    Raises:
        EngineError: the device or dtype cannot be used here, or the GPU has too little memory.
        DataError: the folder is damaged.
    """
    import torch

    spread, there = device == "spread", "cuda" if torch.cuda.is_available() else "cpu"
    device = there if device in ("auto", "spread") else device
    try:
        torch.empty(0, device=device)
        kind = dtype if dtype == "auto" else getattr(torch, dtype)
    except (RuntimeError, AssertionError, AttributeError) as error:
        raise EngineError(
            f"device {device!r} with dtype {dtype!r} cannot be used here: {str(error).splitlines()[0]}"
        ) from error
    local = Path(path).exists()
    try:
        if local:
            described.check(Path(path))
        tokenizer = tokenizers.read(path)
        places = {"device_map": "auto"} if spread else {}
        told = {"output_loading_info": True, "ignore_mismatched_sizes": True}  # the report names the first of them
        loaded: Any = opened(path, dtype=kind, local_files_only=local, **told, **places)
    except DataError:
        raise
    except Exception as error:  # a damaged folder makes transformers and safetensors raise many types
        raise DataError(f"{path} cannot be loaded: {(str(error) or repr(error)).splitlines()[0]}") from error
    model, report = loaded
    if report["mismatched_keys"]:
        name, saved, asked = min(report["mismatched_keys"])
        raise DataError(
            f"{path}: {name} has the shape {[*saved]}, config.json asks for {[*asked]}; they belong to different "
            "models: fetch config.json and the weights of one"
        )
    if report["missing_keys"]:
        raise DataError(f"{path} lacks weights that its config.json requires: {min(report['missing_keys'])}")
    if spread:
        return model.eval(), tokenizer
    if torch.device(device).type == "cuda":
        memory.ready(f"the model {path}", model.get_memory_footprint(), device)
    return model.eval().to(device), tokenizer


def opened(path: str, **options: Any) -> Any:
    """The model of a folder or hub id with the class that its config names, so that it has all of its weights.

    Weights in MXFP4 or FP8 become plain numbers, which can be trained and are the same on every machine. An adapter's
    config is that of its base.

    Args:
        options: of transformers' from_pretrained.
    """
    from transformers import AutoConfig

    adapter, base = Path(path) / "adapter_config.json", path
    if adapter.is_file() and not adapter.with_name("config.json").exists():
        base = foreign.json_in(adapter)["base_model_name_or_path"]
    config: Any = AutoConfig.from_pretrained(
        base, trust_remote_code=False, local_files_only=options.get("local_files_only", False)
    )
    packed = getattr(config, "quantization_config", None)
    if isinstance(packed, dict) and packed.get("quant_method") in UNPACKED:
        config.quantization_config = {**packed, "dequantize": True}
    for part in {id(part): part for part in (config, config.get_text_config())}.values():
        if getattr(part, "output_router_logits", False):  # with a cache this fails in transformers 5.17
            part.output_router_logits = False
    loader = described.kind_of(config)
    return loader.from_pretrained(path, config=config, use_safetensors=True, trust_remote_code=False, **options)


def context_of(model: Any) -> int:
    """The model's context length in tokens; unlimited for models without a position limit."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or sys.maxsize


def ends_of(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end a completion: from the generation config (which may have several), tokenizer and template."""
    ends = model.generation_config.eos_token_id
    return sorted({*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id, end_of(tokenizer)} - {None})


def check_place(device: str, dtype: str) -> None:
    """Whether a model can be loaded there; torch is imported only where a device has to be looked for.

    Raises:
        RecipeError: torch knows no such device or number type.
        DeviceError: this machine does not have the device.
    """
    if dtype not in DTYPES:
        raise RecipeError(f"engine.transformers.dtype: {dtype!r} cannot be used; it takes {', '.join(DTYPES)}")
    if device in ("auto", "cpu"):
        return
    import torch

    try:
        place = torch.device(device)
        kind = torch.get_device_module(place)
    except RuntimeError as error:
        raise RecipeError(f"engine.transformers.device: {str(error).splitlines()[0]}") from error
    found = kind.device_count() if kind.is_available() else 0  # asked so that no memory of the device is taken
    if (place.index or 0) >= found:
        raise DeviceError(
            f"engine.transformers.device: this machine has {found or 'no'} {place.type} devices, the recipe asks for "
            f"{device!r}; `auto` takes a GPU if there is one"
        )
