"""Whether the model that a folder's config describes is as large as its weights, found out before memory is taken.

transformers builds what the config describes and fills what the weights lack, so a config of a few bytes can ask for
any amount of memory. Here the model is built without memory, on torch's device `meta`, and its numbers are counted.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.safety.model_files import SPARE, check_use
from selfimprove.safety.weight_files import CONFIG, in_bytes, mapping, tensors_of

_counted: dict[str, int] = {}
"""Numbers of the model that a config describes, by its text."""


def check(folder: Path) -> None:
    """Make sure that a model folder can be loaded within about the memory that its weights take.

    Raises:
        DataError: it describes a far larger model, or its tokenizer or chat template cannot be used.
    """
    check_use(folder)
    if not (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file():
        return
    there = sum(math.prod(tensor.shape) for tensor in tensors_of(folder).values())
    needed = _numbers(folder)
    if needed > SPARE * there + 1_000_000:
        raise DataError(
            f"{folder / 'config.json'} describes a model of {in_bytes(2 * needed)}, but the weights are "
            f"{in_bytes(2 * there)}; refused"
        )


def _numbers(folder: Path) -> int:
    """How many numbers the model has that a folder's config describes."""
    known = str(mapping(folder / "config.json", CONFIG))
    if known not in _counted:
        import torch
        from transformers import AutoConfig

        try:
            config: Any = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                made: Any = kind_of(config).from_config(config, trust_remote_code=False)
            _counted[known] = sum(weight.numel() for weight in made.parameters())
        except Exception:  # what cannot be built cannot be loaded either, and loading says why
            _counted[known] = 0
    return _counted[known]


def kind_of(config: Any) -> Any:
    """The class of transformers that loads all weights of a model.

    AutoModelForCausalLM would take the language model alone out of some that also see.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    [*named] = config.architectures or ()
    sees = any(name.endswith("ForConditionalGeneration") for name in named) and hasattr(config, "vision_config")
    return AutoModelForImageTextToText if sees else AutoModelForCausalLM
