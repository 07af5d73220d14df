"""How long and how fast a method trains: the options of TRL that all trainers share."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from typing import Any

from selfimprove.errors import EngineError
from selfimprove.training.lora import Lora


@dataclass(kw_only=True)
class Schedule:
    """Trainer options shared by all methods that train; the names and meanings are TRL's."""

    learning_rate: float
    max_steps: int = -1
    num_train_epochs: float = 1.0
    per_device_train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    warmup_steps: int = 0
    lr_scheduler_type: str = "linear"
    decay_steps: int = 0
    """Steps at the end over which the rate falls to a hundredth after it was constant; 0 leaves it to the type."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    adam_beta2: float = 0.999
    train_sampling_strategy: str = "group_by_length"
    """`group_by_length` fills batches with rows of like length; `sequential` keeps the given order."""
    fsdp_config: str | None = None
    deepspeed: str | None = None
    lora: Lora = field(default_factory=Lora)
    bf16: bool | None = None
    gradient_checkpointing: bool | None = None
    """None leaves either to what the GPU can and the model needs."""
    use_liger_kernel: bool = False
    seed: int = 0


def schedule_of(options: Any, seed: int) -> Schedule:
    """The schedule in a method's options of the same names; what the method does not offer keeps its default."""
    names = (one.name for one in fields(Schedule) if one.name != "seed")
    return Schedule(**{name: getattr(options, name) for name in names if hasattr(options, name)}, seed=seed)


def needs_liger() -> None:
    """Liger's kernels are an extra.

    Raises:
        EngineError: they are not installed.
    """
    if find_spec("liger_kernel") is None:
        raise EngineError("use_liger_kernel needs liger-kernel: pip install 'selfimprove[liger]'")
