"""Quantized weights of published models: which are made plain numbers when they are loaded, and which are refused.

A round trains weights and saves them whole, so the weights must be numbers. transformers unpacks MXFP4 (OCP
Microscaling Formats v1.0: 4-bit floats in blocks of 32 with a common exponent) and FP8 in blocks (arXiv:2412.19437,
section 3.3) without a GPU and without foreign kernels. The other forms can be run only by kernels of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selfimprove.errors import DataError

UNPACKED = ("fp8", "mxfp4", "mxfp8")
"""Forms that are unpacked."""
PACKED = (
    "aqlm",
    "auto-round",
    "awq",
    "bitnet",
    "bitsandbytes",
    "compressed-tensors",
    "eetq",
    "fbgemm_fp8",
    "fp_quant",
    "gptq",
    "higgs",
    "hqq",
    "nvfp4",
    "quanto",
    "quark",
    "sinq",
    "spqr",
    "torchao",
    "vptq",
)
"""Forms that are refused."""


def check_quantized(config: dict[str, Any], folder: Path) -> None:
    """Make sure that the weights can be loaded as plain numbers.

    Args:
        config: the values of config.json.

    Raises:
        DataError: they cannot; the message says why, and what to do.
    """
    values = config.get("quantization_config")
    if values is None:
        return
    method = values.get("quant_method") if isinstance(values, dict) else None
    if isinstance(values, dict) and method is None and (values.get("load_in_4bit") or values.get("load_in_8bit")):
        method = "bitsandbytes"
    if method in UNPACKED:
        return
    if method in PACKED:
        raise DataError(
            f"{folder} has its weights packed as {method}: they cannot be trained, nor can an adapter be merged into "
            "them. Name the model that is not quantized; with optimization.sft.lora.r and "
            "optimization.sft.lora.load_in_4bit=true it trains in 4 bits"
        )
    said = f"names an unknown quantization, {str(method)[:40]!r}" if method else "does not name its quantization"
    raise DataError(
        f"{folder / 'config.json'} {said}; known are {', '.join(UNPACKED)}. Name the model that is not quantized"
    )
