"""The weights of a model folder from a stranger, as the headers of its safetensors files describe them; nothing is run.

Only safetensors are weights: a pickle can run code. Each byte of a file must belong to exactly one tensor.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.foreign.bounded_json import parsed

BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
"""Bits of a number by its type in safetensors."""
EXPONENTS = {
    "F64": ("<u8", 0x7FF0000000000000),
    "F32": ("<u4", 0x7F800000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}
"""The bits that are all set in NaN and infinity, by type."""
HEADER, CONFIG = 50_000_000, 10_000_000
"""Bytes of the largest header, and of the largest JSON file beside it."""
TENSORS = 200_000
"""Most tensors of a model: the largest mixtures of experts have half of that."""
_MAY_BE_ZERO = re.compile(r"(?:o_proj|down_proj|out_proj|c_proj|dense|dense_4h_to_h|lora_B|bias)\b|_bias$")
"""Matrices that may be all zeros: those of blocks that are added as identities, and biases, one row per expert."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of a safetensors file, as its header describes it."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """Its first byte in the file."""


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """The tensors that transformers would load: those of the index, else of all safetensors files.

    Mistral's folders have the weights once more, under other names, in consolidated.safetensors, which is left out.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = mapping(index, HEADER).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
            raise DataError(f"{index} has no weight_map")
        return _indexed(index, shards)
    files = sorted(folder.glob("*.safetensors"))
    own = [path for path in files if path.name.startswith("consolidated")]
    if own and own == files:
        raise DataError(
            f"{folder} has its weights in Mistral's own form only ({own[0].name}), which transformers does not read: "
            "fetch model.safetensors, or its parts and their index, of the same model"
        )
    files = [path for path in files if path not in own]
    if not files:
        pickled = [path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern)]
        if pickled:
            raise DataError(
                f"{folder} has its weights in pickle format ({pickled[0]}), which can run code. Convert them where you "
                "trust them: load the model and call save_pretrained, which writes safetensors"
            )
        raise DataError(f"{folder} has no weights: no *.safetensors file")
    parts = [re.fullmatch(r"model-(\d+)-of-(\d+)", path.stem) for path in files]
    for part in filter(None, parts):
        if len(files) < int(part[2]):
            raise DataError(f"{folder} has {len(files)} of {int(part[2])} files of weights; fetch the others")
    return _few({name: tensor for path in files for name, tensor in header(path)}, folder)


def _indexed(index: Path, shards: dict[str, str]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name in sorted(set(shards.values())):
        if Path(name).name != name:
            raise DataError(f"{index} names {name[:80]!r}, which is not a file of this folder")
        if not (index.parent / name).is_file():
            raise DataError(f"{index} names {name!r}, which is missing; fetch it")
        found |= header(index.parent / name)
        _few(found, index.parent)
    lost = [name for name in shards if name not in found]
    if lost:
        raise DataError(f"{index} names tensors that no file has, for example {lost[0][:80]!r}")
    return found


def _few(found: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    if len(found) > TENSORS:
        raise DataError(f"{folder} has more than {TENSORS:,} tensors; refused")
    return found


def header(path: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a safetensors file: each byte of it belongs to exactly one of them.

    Raises:
        DataError: it is no such file.
    """
    with os.fdopen(foreign.opened(path.resolve()), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        if start.startswith(b"version "):
            raise DataError(f"{path} is a Git LFS pointer ({size} bytes), not the weights; run: git lfs pull")
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(size - 8, HEADER):
            raise DataError(f"{path} is truncated or not a safetensors file: {size} bytes. Fetch it again")
        raw = file.read(length)
    if raw.count(b'"data_offsets"') > TENSORS:
        raise DataError(f"{path} has more than {TENSORS:,} tensors; refused")
    try:
        entries = parsed(raw)
        entries.pop("__metadata__", None)
        found = sorted(
            (*_offsets(entry), name, str(entry["dtype"]), tuple(entry["shape"])) for name, entry in entries.items()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} has a damaged header: {str(error)[:80]}. Fetch it again") from error
    data = size - 8 - length
    ends = [0, *(end for _, end, *_ in found)]
    for before, (begin, end, name, dtype, shape) in zip(ends[:-1], found, strict=True):
        bits = math.prod(shape) * BITS.get(dtype, 0)
        if begin != before or bits != 8 * (end - begin):
            raise DataError(f"{path}: tensor {name[:80]!r} ({dtype[:20]}) does not fit its bytes. Fetch it again")
        yield name, Tensor(path, dtype, shape, 8 + length + begin)
    if ends[-1] != data:
        raise DataError(f"{path} has {data} bytes of weights, its header describes {ends[-1]}. Fetch it again")


def _offsets(entry: dict[str, Any]) -> tuple[int, int]:
    begin, end = entry["data_offsets"]
    whole = (begin, end, *entry["shape"])
    if not all(type(number) is int and 0 <= number < 1 << 60 for number in whole) or begin > end:
        raise ValueError("offsets and shapes must be whole numbers")
    return begin, end


def check_numbers(tensors: dict[str, Tensor], at_once: int = 1 << 24) -> None:
    """Refuse a tensor with NaN or infinity, and a matrix of zeros only, which a crash may leave in a file."""
    import numpy

    wrong: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        count = math.prod(tensor.shape)
        if tensor.dtype not in EXPONENTS or not count:
            continue
        kind, exponent = EXPONENTS[tensor.dtype]
        words = numpy.memmap(tensor.path, kind, "r", tensor.begin, (count,))
        mask, zero = numpy.array(exponent, kind), len(tensor.shape) > 1 and not _MAY_BE_ZERO.search(name)
        for begin in range(0, count, at_once):
            part = words[begin : begin + at_once]
            zero = zero and not part.any()
            if ((part & mask) == mask).any():
                wrong.setdefault("NaN or infinity", []).append(name)
                break
        if zero:
            wrong.setdefault("nothing but zeros", []).append(name)
    for what, names in wrong.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise DataError(f"{tensors[names[0]].path} is damaged: {what} in {', '.join(names[:3])}{more}. Fetch it again")


# ---- files -------------------------------------------------------------------------------------------------------
def mapping(path: Path, largest: int = CONFIG) -> dict[str, Any]:
    """The mapping in a JSON file of a model folder; a file larger than `largest` bytes is refused."""
    if path.stat().st_size > largest:
        raise DataError(f"{path} is larger than {in_bytes(largest)}")
    raw = foreign.content(path.resolve(), largest)
    try:
        values = parsed(raw)
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {str(error)[:80]}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} is not a mapping")
    return values


def in_bytes(number: int) -> str:
    """A number of bytes for people: 1.5 GB."""
    if number >= 10**24:
        return "more than 1,000,000 EB"
    value, units = float(number), ("bytes", "KB", "MB", "GB", "TB", "PB", "EB")
    place = min(len(units) - 1, int(math.log10(number) // 3) if number else 0)
    return f"{value / 1000**place:.3g} {units[place]}"
