"""Save tensors from any device in safetensors files of bounded size, and read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfimprove.errors import StorageError

SHARD = 1 << 31
"""Bytes of tensors per file, which are copied from a GPU at once."""


def write(tensors: Mapping[str, Any], folder: Path) -> None:
    """Write safetensors files of at most SHARD bytes, or one tensor, each."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    part, size, count = dict[str, Any](), 0, 0
    try:
        for name, tensor in tensors.items():
            if part and size + tensor.nbytes > SHARD:
                save_file(part, folder / f"tensors-{count:05d}.safetensors")
                part, size, count = {}, 0, count + 1
            part[name] = tensor.to("cpu", copy=True).contiguous()
            size += tensor.nbytes
        save_file(part, folder / f"tensors-{count:05d}.safetensors")
    except SafetensorError as error:  # it hides the OSError of a full disk in its text
        raise StorageError(f"cannot write to {folder}: {error}") from error


def headers(folder: Path) -> tuple[dict[str, Path], dict[str, list[int]]]:
    """The file and the shape of each tensor."""
    from safetensors import safe_open

    files, shapes = dict[str, Path](), dict[str, list[int]]()
    for path in sorted(folder.glob("tensors-*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in list(file.keys()):
                files[name], shapes[name] = path, file.get_slice(name).get_shape()
    return files, shapes
