"""Estimate a model's memory from its files before it is loaded, suggest what would fit, and name who holds memory."""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove.errors import EngineError
from selfimprove.safety.weight_files import BITS, HEADER, header, mapping

TRAINED = 16
"""Bytes per trained weight: weight, gradient and Adam's two moments, all in float32."""
FROZEN = 4
"""Bytes per frozen float32 weight, under an adapter or of a reference model."""
ROUNDED = 4.127 / 8
"""Bytes per 4-bit weight, including the scales of its block (QLoRA, arXiv:2305.14314)."""
WHOLE = ("embed", "lm_head", "wte", "wpe")
"""Parts of the names of matrices that are not quantized to 4 bits: embeddings and the output layer."""
PACKED = {"U8": 2, "F8_E4M3": 1}
"""Numbers in an element of a quantized matrix, by its type in safetensors: two of MXFP4 in a byte, one of FP8."""
SCALES = ("_scales", "_scale_inv")
"""Ends of the names of their scales, which are not kept."""
UNPACKED = 2
"""Bytes of such a number once it is loaded, in bfloat16."""
ADAPTER = 0.01
"""Share of the weights that an adapter of usual rank has; our estimate."""
SPARE = 1.2
"""Factor for activations, the key-value cache and the allocator; our estimate. Long completions and large batches need
more."""
LOGITS, WIDEST = 4096, 32768
"""Tokens, and logits of each, that TRL's fused output layer has in memory at once, in float32."""
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a recipe uses the weights, as far as it affects memory."""

    sharing: int = 1
    """GPUs that share the model for sampling."""
    trainer: str = ""
    """The method that trains, for example `optimization.sft`; "" if none does."""
    way: str = "weights"
    """What is trained: all `weights`, an `adapter`, or an adapter on `4bit` weights."""
    spread: int = 1
    """GPUs over which FSDP or DeepSpeed shard the training."""
    adapts: bool = True
    """Whether the method has options for an adapter and for FSDP."""
    elsewhere: bool = False
    """Whether it trains on another, unknown machine."""
    reference: bool = False
    """Whether training holds a frozen copy of the weights beside them."""
    tokens: int = 0
    """The longest completion."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """The memory needs of a model, from its files."""

    weights: int
    """Numbers in the model."""
    stored: int
    """Their bytes, in the stored dtype."""
    matrices: int
    """The number of weights that QLoRA keeps in 4 bits."""
    vocabulary: int = 0
    """Tokens, as config.json says; 0: unknown."""
    kept: float = 0.0
    """Bytes of keys and values for a token."""

    def sampling(self, plan: Plan) -> float:
        """Bytes on a GPU for sampling, at least: one completion at a time, with its logits twice in float32."""
        return SPARE * self.stored / plan.sharing + self.kept * plan.tokens + 8 * self.vocabulary

    def held(self, way: str) -> float:
        """Smallest bytes for training in that way, with the shortest rows."""
        if way == "4bit":
            return ROUNDED * self.matrices + FROZEN * (self.weights - self.matrices)
        return (FROZEN if way == "adapter" else TRAINED) * self.weights

    def training(self, way: str, plan: Plan, spread: int = 1) -> float:
        """Bytes on a GPU for training in that way, beside a copy for sampling."""
        adapter = 0.0 if way == "weights" else TRAINED * ADAPTER * self.weights
        reference = FROZEN * self.weights / spread if plan.reference else 0.0
        logits = 4.0 * LOGITS * min(self.vocabulary, WIDEST)
        return SPARE * (self.held(way) / spread + adapter + reference) + logits + self.sampling(plan)


@dataclass(frozen=True, kw_only=True)
class Room:
    """Free memory where a model would be loaded."""

    free: float
    """Free bytes of the first GPU or of the machine; all GPUs of a machine are assumed equal."""
    device: str
    gpus: int = 0


def need(folder: Path) -> Need:
    """The need of a folder with safetensors, from the headers of the files that transformers loads."""
    weights, stored, matrices = 0, 0, 0
    for path in _files(folder):
        for name, tensor in header(path):
            if name.endswith(SCALES):
                continue
            numbers = math.prod(tensor.shape) * PACKED.get(tensor.dtype, 1)
            size = numbers * BITS[tensor.dtype] // 8
            if tensor.dtype in PACKED:  # it is unpacked when it is loaded, see safety/quantized.py
                size = UNPACKED * numbers
            weights += numbers
            stored += size
            if len(tensor.shape) == 2 and not any(part in name for part in WHOLE):
                matrices += numbers
    vocabulary, numbers = _described(folder)
    kept = numbers * stored / max(1, weights)
    return Need(weights=weights, stored=stored, matrices=matrices, vocabulary=vocabulary, kept=kept)


def _described(folder: Path) -> tuple[int, int]:
    """The vocabulary, and the keys and values of a token, as config.json tells them; 0 where it does not."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = config.get("text_config") or config
        heads = int(config["num_attention_heads"])
        width = int(config.get("head_dim") or config["hidden_size"] // heads)
        layers, shared = int(config["num_hidden_layers"]), int(config.get("num_key_value_heads") or heads)
        return int(config.get("vocab_size", 0)), 2 * layers * shared * width
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return 0, 0  # other names, as GPT-2 has them


def _files(folder: Path) -> list[Path]:
    """The weight files that transformers loads: one file, else those of the index; other copies are ignored."""
    one, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if one.is_file():
        return [one]
    if index.is_file():
        shards = mapping(index, HEADER)["weight_map"]
        return [folder / name for name in sorted(set(shards.values()))]
    return sorted(folder.glob("*.safetensors"))


def free() -> Room:
    """Free memory of the first GPU, else of the machine."""
    if "torch" in sys.modules or os.environ.get("CUDA_VISIBLE_DEVICES") or Path("/dev/nvidia0").exists():
        import torch

        if torch.cuda.is_available():
            left = float(torch.cuda.mem_get_info(0)[0])
            return Room(free=left, device=torch.cuda.get_device_name(0), gpus=torch.cuda.device_count())
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        [available] = [line for line in lines if line.startswith("MemAvailable:")]
        return Room(free=float(available.split()[1]) * 1024, device="this machine")
    except (OSError, ValueError, IndexError):  # not Linux: free memory is unknown, so nothing is refused
        return Room(free=math.inf, device="this machine")


def check(name: str, found: Need, plan: Plan, room: Room) -> str:
    """Advice if memory is tight; "" if sampling and training fit.

    Raises:
        EngineError: the weights do not fit at all, for sampling or for the recipe's training.
    """
    size = f"{name} has {_billions(found.weights)}"
    device = f"each {room.device}" if room.gpus > 1 else room.device
    if found.sampling(plan) > room.free:
        ways = [f"a model of at most {_billions(room.free * plan.sharing / SPARE / 2)} (16 bit)"]
        if room.gpus:
            shared = 1 << math.ceil(math.log2(found.sampling(plan) * plan.sharing / room.free))
            ways.append(f"{shared} such GPUs with engine=vllm and engine.vllm.tensor_parallel_size={shared}")
        raise EngineError(
            f"{size}: loading takes about {_gb(found.sampling(plan))} and {device} has {_gb(room.free)} free. "
            f"Free some, or use {', or '.join(ways)}, or a machine with more memory"
        )
    takes = found.training(plan.way, plan, plan.spread)
    if not plan.trainer or takes <= room.free:
        return ""
    what = {"weights": "all of them", "adapter": "an adapter of them", "4bit": "an adapter of them in 4 bits"}[plan.way]
    said = (
        f"{size}: training {what} ({plan.trainer}) takes about {_gb(takes)} and {device} has {_gb(room.free)} free. "
        f"These fit: {', or '.join(_ways(found, plan, room))}"
    )
    if found.held(plan.way) / plan.spread > room.free and not plan.elsewhere:
        raise EngineError(said)
    return said


def _ways(found: Need, plan: Plan, room: Room) -> list[str]:
    """Alternatives to the plan that fit."""
    ways, lora = list[str](), f"{plan.trainer}.lora.r=16"
    adapter, rounded = (found.training(way, plan) for way in ("adapter", "4bit"))
    if plan.adapts and plan.way == "weights" and adapter <= room.free:
        ways.append(f"{lora} (about {_gb(adapter)})")
    if plan.adapts and plan.way != "4bit" and room.gpus and rounded <= room.free:
        ways.append(f"{lora} with {plan.trainer}.lora.load_in_4bit=true (QLoRA, about {_gb(rounded)})")
    fixed = found.training(plan.way, plan) - SPARE * found.held(plan.way)
    if plan.adapts and plan.way != "4bit" and room.gpus and fixed < room.free:
        several = math.ceil(SPARE * found.held(plan.way) / (room.free - fixed))
        ways.append(f"{several} such GPUs with launcher=accelerate and {plan.trainer}.fsdp_config=FILE")
    largest = found.weights * room.free / found.training(plan.way, plan, plan.spread)
    return [*ways, f"a model of at most {_billions(largest)}", "a machine with more memory"]


# ---- while it runs -----------------------------------------------------------------------------------------------
def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out: a GPU's, or the machine's, for which torch has no type of its own."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def give_back() -> None:
    """Give memory that torch keeps for later back to the GPU, if there is one."""
    import torch

    torch.cuda.empty_cache()


def ready(what: str, size: float, device: Any = None) -> None:
    """Check before a heavy step that a GPU has enough free bytes for this process.

    Args:
        device: the GPU as torch names it; None means the current one.

    Raises:
        EngineError: it has too little; the message says who holds the rest.
    """
    import torch

    left, whole = _left(device)
    if size > left:
        gc.collect()  # a finished trainer and its optimizer refer to each other
        left, whole = _left(device)
    if size > left:
        raise EngineError(
            f"{what} takes at least {_gb(size)} and {torch.cuda.get_device_name(device)} has {_gb(left)} of "
            f"{_gb(whole)} free: {holders(device)}. End what need not run there, or set launcher=process, which gives "
            "back after each step what its engine held"
        )


def ready_share(what: str, share: float) -> None:
    """The same for a share of the current GPU's whole memory; does nothing without a GPU."""
    import torch

    if torch.cuda.is_available():
        ready(what, share * torch.cuda.mem_get_info(None)[1])


def _left(device: Any) -> tuple[float, float]:
    """Free bytes of a GPU for this process, and its total."""
    import torch

    left, whole = torch.cuda.mem_get_info(device)
    return left + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device), whole


def holders(device: Any = None) -> str:
    """The holders of a GPU's memory: this process, including its engine's models, and others by name."""
    import torch

    left, whole = torch.cuda.mem_get_info(device)
    mine = torch.cuda.memory_reserved(device)
    named = _processes(torch.cuda.get_device_properties(device).uuid)
    others = [f"{name} (process {pid}) {_gb(size)}" for pid, name, size in named if pid != os.getpid()]
    if len(others) == len(named):  # unknown, or with process ids of another container
        others = [f"other processes {_gb(max(0.0, whole - left - mine))}"]
    return ", ".join([f"this process holds {_gb(mine)}, including models that its engine keeps", *others])


def _processes(uuid: Any) -> list[tuple[int, str, float]]:
    """Id, name and bytes of each process on a GPU, from the driver; empty if the driver does not tell."""
    asked = ("--query-compute-apps=pid,process_name,used_gpu_memory", "--format=csv,noheader,nounits")
    try:
        said = subprocess.run(
            ["nvidia-smi", f"--id=GPU-{uuid}", *asked], check=True, capture_output=True, text=True, timeout=10
        ).stdout
        rows = [(line.split(",")[0], *line.rpartition(",")[::2]) for line in said.splitlines()]
        return [(int(pid), name.partition(",")[2].strip(), float(size) * 2**20) for pid, name, size in rows]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


def _gb(size: float) -> str:
    return f"{size / GB:.0f} GB" if size >= 10 * GB else f"{size / GB:.1f} GB"


def _billions(weights: float) -> str:
    return f"{weights / GB:.0f} billion weights" if weights >= 10 * GB else f"{weights / GB:.2g} billion weights"
