"""The common options of training methods as base classes, and what follows from these options.

A method repeats a field to change its default: `learning_rate: float = 1e-5`. It inherits the help.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from typing import Any, Protocol

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import EngineError, RecipeError
from selfimprove.inference import vllm_process
from selfimprove.interfaces import Context
from selfimprove.needs import Needs
from selfimprove.records import Checkpoint
from selfimprove.registry import name_of
from selfimprove.training.lora import Lora


@dataclass
class Trained:
    """The options of every method that trains; the names are TRL's."""

    restart: str = "last"
    """Where training starts: `base` (the weights of round 0) or `last` (the newest policy)."""
    learning_rate: float = bounded(1e-6, 0, 100)
    """Peak learning rate."""
    max_steps: int = bounded(-1, -1)
    """Optimizer steps; -1 uses num_train_epochs."""
    num_train_epochs: float = bounded(1.0, 0, 1e6)
    """Passes over the data, if max_steps is -1."""
    per_device_train_batch_size: int = bounded(8, 1)
    """Rows per batch and device; a row is a completion, a pair, or another unit of the method."""
    gradient_accumulation_steps: int = bounded(1, 1)
    """Batches summed up for one optimizer step."""
    warmup_steps: int = bounded(0, 0)
    """Warm-up steps of the learning rate."""
    lr_scheduler_type: str = "linear"
    """TRL's name of the schedule: linear, cosine, constant, constant_with_warmup, ..."""

    def __post_init__(self) -> None:
        one_of(self, restart=("base", "last"))

    def cost(self, given: Given) -> Cost:
        """Its optimizer steps."""
        return Cost(steps=planned_steps(self, given.flow.records, given.processes))


@dataclass
class Adapted:
    """The options of every method that TRL trains."""

    bf16: bool | None = None
    """Compute in bfloat16 with float32 weights. null: on a GPU that supports it, from 100 million weights."""
    gradient_checkpointing: bool | None = None
    """Recompute activations instead of storing them, to save memory. null: on a GPU, from a billion weights."""
    fsdp_config: str | None = None
    """Path of TRL's config file for FSDP, which shards weights over processes; not tested on several GPUs."""
    deepspeed: str | None = None
    """Path of a config file for DeepSpeed, which also shards weights; DeepSpeed is installed separately; not tested."""
    use_liger_kernel: bool = False
    """Use Liger's kernels, which need less memory; needs a CUDA GPU and selfimprove[liger]; not tested on a GPU."""
    lora: Lora = field(default_factory=Lora)
    """With `lora.r` above 0, train a low-rank adapter and merge it at the end; other keys are alpha, dropout,
    target_modules and load_in_4bit. An adapter needs a higher learning rate than full training."""

    def needs(self) -> Needs:
        """The packages that the options need."""
        bits = ("bitsandbytes",) if self.lora.r and self.lora.load_in_4bit else ()
        return Needs(packages=(*(("liger_kernel",) if self.use_liger_kernel else ()), *bits))


@dataclass
class Referenced(Trained):
    """The options of every method with a frozen reference model."""

    reference: str = "start"
    """The frozen reference: `start` (where training starts) or `base` (round 0)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self, reference=("start", "base"))


@dataclass
class Sampled(Adapted, Referenced):
    """The options of every method that samples its completions during training with TRL."""

    gradient_accumulation_steps: int = bounded(1, 1)
    """Batches summed up for one optimizer step; their completions are drawn together."""
    num_generations: int = bounded(8, 2)
    """Completions of each prompt."""
    num_iterations: int = bounded(1, 1)
    """Updates on the same completions."""
    temperature: float = bounded(1.0, 0, 100)
    """Temperature of the completions."""
    max_completion_length: int = bounded(512, 1)
    """Tokens per completion."""
    mask_truncated_completions: bool = False
    """Leave truncated completions out of the loss."""
    redraw: int = bounded(0, 0)
    """How many times groups with equal rewards are replaced by groups of other prompts."""
    use_vllm: bool = False
    """Sample with vLLM on the training GPU (TRL's colocate mode) instead of `generate`; needs selfimprove[vllm]; not
    tested on a GPU."""
    vllm_gpu_memory_utilization: float = 0.3
    """Share of the GPU's memory for vLLM, with use_vllm."""

    def cost(self, given: Given) -> Cost:
        """The cost of steps, completions and rewards."""
        return online_cost(self, given, again=self.num_iterations, redraw=self.redraw)

    def preflight(self) -> list[str]:
        """Check before a run that vLLM is installed, if the options need it.

        Raises:
            EngineError: it is missing, or its version is not supported.
        """
        if self.use_vllm:
            vllm_process.installed(f"optimization.{name_of(self)}.use_vllm", "set use_vllm=false")
        return []

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lora.r and self.reference == "base" and self.restart != "base":
            raise RecipeError(
                f"optimization.{name_of(self)}: with lora the reference is the model without its adapter, which is "
                "where training starts; set reference: start, or restart: base"
            )
        rows = self.per_device_train_batch_size * self.gradient_accumulation_steps
        if rows % self.num_generations:
            raise RecipeError(
                f"optimization.{name_of(self)}: {rows} completions per step (batch size times accumulation) must be a "
                f"multiple of num_generations, which is {self.num_generations}"
            )


def planned_steps(method: Trained, rows: int, processes: int = 1) -> int:
    """Optimizer steps: max_steps, else the steps of the method's passes over the rows."""
    if method.max_steps > 0:
        return method.max_steps
    batches = math.ceil(rows / (method.per_device_train_batch_size * processes))
    return math.ceil(max(1, math.ceil(batches / method.gradient_accumulation_steps)) * method.num_train_epochs)


class Draws(Protocol):
    """The interface of a method that draws the rows of its steps itself."""

    max_steps: int
    num_train_epochs: float
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    num_generations: int
    max_completion_length: int


def online_cost(
    method: Draws, given: Given, *, again: int = 1, turns: int = 1, marks: int = 1, redraw: int = 0
) -> Cost:
    """The largest cost of training that draws its own rows.

    Args:
        again: steps taken with the same rows.
        turns: completions per row.
        marks: calls of the reward per row.
        redraw: how many times all rows may be drawn again.
    """
    rows = method.per_device_train_batch_size * method.gradient_accumulation_steps * given.processes
    steps = method.max_steps
    if steps <= 0:
        passed = given.flow.records * method.num_generations * method.num_train_epochs
        steps = max(1, math.ceil(passed / rows)) * again
    draws = math.ceil(steps / again) * (1 + redraw + given.redraws)
    rated = given.rate(Flow(rows, math.ceil(rows / method.num_generations), rows))
    return Cost(steps=steps) + given.draw(draws * rows * turns, method.max_completion_length) + draws * marks * rated


def one_of(method: Any, **choices: Sequence[str]) -> None:
    """Check options that have a list of values.

    Raises:
        RecipeError: the value of an option is not in its list.
    """
    for option, known in choices.items():
        value = getattr(method, option)
        if value not in known:
            raise RecipeError(f"optimization.{name_of(method)}.{option} takes {' or '.join(known)}, not {value!r}")


def start_of(method: Trained, context: Context) -> Checkpoint:
    """The weights that training starts from."""
    return context.start if method.restart == "base" else context.policy.checkpoint


def reference_of(method: Referenced, context: Context) -> Checkpoint:
    """The frozen reference."""
    return context.start if method.reference == "base" else start_of(method, context)


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
    """Steps at the end over which a constant rate falls to a hundredth; 0 leaves the schedule to lr_scheduler_type."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    adam_beta2: float = 0.999
    train_sampling_strategy: str = "group_by_length"
    """`group_by_length` fills batches with rows of similar length; `sequential` keeps the given order."""
    fsdp_config: str | None = None
    deepspeed: str | None = None
    lora: Lora = field(default_factory=Lora)
    bf16: bool | None = None
    gradient_checkpointing: bool | None = None
    """None chooses either by the GPU and the size of the model."""
    use_liger_kernel: bool = False
    seed: int = 0


@dataclass(kw_only=True)
class PolicyGradient(Schedule):
    """A schedule of clipped policy-gradient steps; the reward of each row is the advantage of its tokens."""

    epsilon: float = 0.2
    """How far the probability ratio to the weights that drew the rows may leave 1."""
    temperature: float = 1.0
    """Temperature at which the rows were drawn."""


def schedule_of(options: Any, seed: int) -> Schedule:
    """The schedule from a method's options of the same names; other fields keep their defaults."""
    offered = {one.name for one in fields(options)}
    shared = [one.name for one in fields(Schedule) if one.name in offered - {"seed"}]
    return Schedule(**{name: getattr(options, name) for name in shared}, seed=seed)


def needs_liger() -> None:
    """Check that Liger's kernels are installed; they are an extra.

    Raises:
        EngineError: they are not installed.
    """
    if find_spec("liger_kernel") is None:
        raise EngineError("use_liger_kernel needs liger-kernel: pip install 'selfimprove[liger]'")
