"""Whether a model folder from a stranger can be loaded: read from its files, without running what they say.

Only safetensors are weights: a pickle can run code. Of the other files only what names code, another place or an absurd
size is refused, so that new architectures still load.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.safety.template_worker import fault_of

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
HEADER, CONFIG, TOKENIZER = 100_000_000, 10_000_000, 500_000_000
"""Bytes of the largest header, of the largest JSON file, and of the largest tokenizer."""
SPARE = 16
"""How many times more numbers a config may describe than there are: shared layers, packed low-bit weights."""
FEW = 0.01
"""Share of a tokenizer's tokens that a model may lack: some published ones have marks for images that it never sees."""
_CODE = ("auto_map", "trust_remote_code", "custom_pipelines", "custom_generate", "use_kernels", "kernel_config")
_COUNTS = re.compile(r"(?:num|n)_\w*(?:layers?|heads?|experts?)\w*")
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_EMBEDDING = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings|embeddings)\.weight$")
_PLACES = re.compile(
    r"^(?!.*(?:vision|visual|audio|encoder|tower))(?:.*\.)?(?:wpe|embed_positions|position_embeddings)\.weight$"
)
_IDENTITY = re.compile(r"(?:o_proj|down_proj|out_proj|c_proj|dense|dense_4h_to_h|lora_B)\b")
"""Matrices that are zero on purpose in blocks that were added as identities."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of a safetensors file, as its header describes it."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """Its first byte in the file."""


def check_folder(folder: Path, thorough: bool = False) -> None:
    """Make sure that a folder can be loaded as a model, without loading it.

    Args:
        thorough: also read all weights and look for numbers that are none; about a second per gigabyte.

    Raises:
        DataError: it cannot; the message says why, and what to do.
    """
    check_code(folder)
    if (folder / "adapter_config.json").is_file():
        base = _mapping(folder / "adapter_config.json").get("base_model_name_or_path")
        raise DataError(
            f"{folder} is an adapter of {str(base)[:80]!r}, not a whole model; merge it into its base with peft "
            "(merge_and_unload, save_pretrained) and name the merged folder"
        )
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} is not a model folder: it has no config.json")
    config = _mapping(folder / "config.json")
    tensors = _weights(folder)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise DataError(f"{folder} has no tokenizer: no tokenizer.json, tokenizer.model or vocab.json")
    _check_sizes(config, tensors, folder)
    _check_templates(folder)
    if thorough:
        _check_numbers(tensors)


def check_code(folder: Path) -> None:
    """Make sure that loading a folder would run no code and read no file outside: the part that is quick.

    Raises:
        DataError: it would.
    """
    _check_links(folder)
    for path in sorted(folder.glob("*.json")):
        if path.name not in ("tokenizer.json", "vocab.json") and not path.name.endswith(".index.json"):
            _check_config(_mapping(path), path)


# ---- files -------------------------------------------------------------------------------------------------------
def _check_links(folder: Path) -> None:
    """Links may point into the folder, or into the blobs of the hub's cache that it belongs to."""
    root = folder.resolve()
    blobs = root.parents[1] / "blobs" if len(root.parents) > 1 and root.parent.name == "snapshots" else root
    for path in sorted(folder.glob("*")):
        target = path.resolve()
        if path.is_symlink() and not (target.is_relative_to(root) or target.is_relative_to(blobs)):
            raise DataError(f"{path} is a link out of the folder; put the file itself there")


def _mapping(path: Path, largest: int = CONFIG) -> dict[str, Any]:
    if path.stat().st_size > largest:
        raise DataError(f"{path} is larger than {_bytes(largest)}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {str(error)[:80]}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} holds no mapping")
    return values


def _check_config(values: dict[str, Any], path: Path) -> None:
    """Refuse what makes transformers run code of the folder or of a repository, and numbers that are absurd."""
    stack: list[tuple[str, Any]] = list(values.items())
    while stack:
        key, value = stack.pop()
        chooses = key.endswith("_implementation")
        if isinstance(value, dict):
            stack += [(key, item) for item in value.values()] if chooses else value.items()
        if isinstance(value, list):
            stack += [(key, item) for item in value]
        foreign = chooses and isinstance(value, str) and "/" in value  # the name of a repository with code
        if foreign or ((key in _CODE or key.endswith("_internal")) and value not in (None, False)):
            raise DataError(f"{path.parent} needs code of its own ({key} in {path.name}), which is not run")
        if _COUNTS.fullmatch(key) and isinstance(value, int) and value > 10_000:
            raise DataError(f"{path} claims {value:,} for {key}; refused")


# ---- weights -----------------------------------------------------------------------------------------------------
def _weights(folder: Path) -> dict[str, Tensor]:
    """The tensors that transformers would load: those of the index, else of all safetensors files."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = _mapping(index, HEADER).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
            raise DataError(f"{index} has no weight_map")
        return _indexed(index, shards)
    files = sorted(folder.glob("*.safetensors"))
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
    return {name: tensor for path in files for name, tensor in _header(path)}


def _indexed(index: Path, shards: dict[str, str]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name in sorted(set(shards.values())):
        if Path(name).name != name:
            raise DataError(f"{index} names {name[:80]!r}, which is no file of this folder")
        if not (index.parent / name).is_file():
            raise DataError(f"{index} names {name!r}, which is not there; fetch it")
        found |= _header(index.parent / name)
    lost = [name for name in shards if name not in found]
    if lost:
        raise DataError(f"{index} names tensors that no file has, for example {lost[0][:80]!r}")
    return found


def _header(path: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a safetensors file: each byte of it belongs to exactly one of them."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(b"version "):
            raise DataError(f"{path} is a Git LFS pointer ({size} bytes), not the weights; run: git lfs pull")
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(size - 8, HEADER):
            raise DataError(f"{path} is no safetensors file, or it was cut off: {size} bytes. Fetch it again")
        raw = file.read(length)
    try:
        entries = json.loads(raw)
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


# ---- what belongs together ---------------------------------------------------------------------------------------
def _check_sizes(config: dict[str, Any], tensors: dict[str, Tensor], folder: Path) -> None:
    """The config must describe the weights that are there, and the tokenizer must have no token beyond them."""
    text = config["text_config"] if isinstance(config.get("text_config"), dict) else config

    def number(*names: str) -> int:
        found = (text.get(name) for name in names)
        return next((value for value in found if isinstance(value, int) and value > 0), 0)

    vocabulary, width = number("vocab_size"), number("hidden_size", "n_embd", "d_model")
    layers = number("num_hidden_layers", "n_layer", "num_layers", "n_layers")
    inner = number("intermediate_size", "n_inner", "ffn_dim")
    needed, there = vocabulary * width + layers * width * (width + inner), _numbers(tensors)
    if needed > SPARE * there + 1_000_000:
        raise DataError(
            f"{folder / 'config.json'} describes a model of at least {_bytes(2 * needed)}, but the weights are "
            f"{_bytes(2 * there)}; refused"
        )
    made = [int(match[1]) for name in tensors if (match := _LAYER.search(name))]
    if made and layers and max(made) + 1 < layers:
        raise DataError(f"{folder}: config.json describes {layers} layers, the weights have {max(made) + 1}")
    rows = _rows(tensors, _EMBEDDING)
    if rows and vocabulary > rows:
        raise DataError(f"{folder}: config.json has a vocabulary of {vocabulary}, the embedding has {rows} rows")
    places = number("max_position_embeddings", "n_positions")
    if (known := _rows(tensors, _PLACES)) and places > known:
        raise DataError(f"{folder}: config.json has {places} positions, the weights have {known}")
    ids = _token_ids(folder / "tokenizer.json")
    beyond = sum(i >= rows for i in ids)
    if rows and beyond > FEW * len(ids):
        raise DataError(
            f"{folder}: {beyond} tokens of the tokenizer, up to {max(ids)}, are not among the {rows} of the model; it "
            "belongs to another model"
        )


def _numbers(tensors: dict[str, Tensor]) -> int:
    return sum(math.prod(tensor.shape) for tensor in tensors.values())


def _rows(tensors: dict[str, Tensor], pattern: re.Pattern[str]) -> int:
    return max(
        (tensor.shape[0] for name, tensor in tensors.items() if pattern.search(name) and tensor.shape), default=0
    )


def _token_ids(path: Path) -> list[int]:
    """The token ids of tokenizer.json; none where there is no such file."""
    if not path.is_file():
        return []
    values = _mapping(path, TOKENIZER)
    model = values.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    added = values.get("added_tokens")
    ids: list[Any] = [*range(len(vocabulary))] if isinstance(vocabulary, list) else []
    ids += vocabulary.values() if isinstance(vocabulary, dict) else []
    ids += [token.get("id") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    return [i for i in ids if isinstance(i, int)]


def _check_templates(folder: Path) -> None:
    """Try every chat template of the folder."""
    for path, text in _templates(folder):
        if fault := fault_of(text):
            raise DataError(f"{path}: the chat template {fault}; refused")


def has_template(folder: Path) -> bool:
    """Whether the folder says how its model is talked to."""
    return bool(_templates(folder))


def _templates(folder: Path) -> list[tuple[Path, str]]:
    """The chat templates of a folder, each with its file."""
    found: list[tuple[Path, Any]] = []
    for path in sorted([*folder.glob("*.jinja"), *folder.glob("additional_chat_templates/*.jinja")]):
        if path.stat().st_size > CONFIG:
            raise DataError(f"{path} is larger than {_bytes(CONFIG)}")
        found.append((path, path.read_text(encoding="utf-8", errors="replace")))
    for name in ("tokenizer_config.json", "chat_template.json"):
        if (folder / name).is_file():
            said = _mapping(folder / name).get("chat_template")
            several = (
                [part.get("template") for part in said if isinstance(part, dict)] if isinstance(said, list) else []
            )
            found += [(folder / name, text) for text in several or [said]]
    return [(path, text) for path, text in found if isinstance(text, str)]


def _check_numbers(tensors: dict[str, Tensor], at_once: int = 1 << 24) -> None:
    """No tensor holds NaN or infinity, and no matrix is nothing but zeros, which is what a crash leaves of a file."""
    import numpy

    wrong: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        count = math.prod(tensor.shape)
        if tensor.dtype not in EXPONENTS or not count:
            continue
        kind, exponent = EXPONENTS[tensor.dtype]
        words = numpy.memmap(tensor.path, kind, "r", tensor.begin, (count,))
        mask, zero = numpy.array(exponent, kind), len(tensor.shape) > 1 and not _IDENTITY.search(name)
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


def _bytes(number: int) -> str:
    value, units = float(number), ("bytes", "KB", "MB", "GB", "TB", "PB", "EB")
    place = min(len(units) - 1, int(math.log10(number) // 3) if number else 0)
    return f"{value / 1000**place:.3g} {units[place]}"
