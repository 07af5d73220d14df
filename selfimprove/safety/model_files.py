"""Checks whether a model folder from a stranger can be loaded, by reading its files without running code.

Weights must be safetensors, because a pickle can run code. Other files are refused only if they name code, a place
outside the folder or an absurd size, so that new architectures still load.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import stat
from itertools import islice
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.safety.chat_templates import check_templates
from selfimprove.safety.quantized import check_quantized
from selfimprove.safety.tokenizer_worker import Tokens, look
from selfimprove.safety.weight_files import Tensor, check_numbers, in_bytes, mapping, tensors_of

FILES = 10_000
"""Files that a model folder has fewer of."""
TOKENIZER = 100_000_000
"""Bytes of the largest tokenizer."""
SPARE = 16
"""Largest ratio of the weights that a config describes to those present: layers may be shared, weights packed."""
FEW = 0.01
"""Share of a tokenizer's tokens that a model may lack: some published tokenizers have extra tokens for images."""
LEAST = 0.7
"""Least share of a model's rows that its tokenizer has: published embeddings are padded by some rows."""
LABELS = 30_000
"""Most labels of a model; published ones have at most 21,843. Of 400,000, reading the config takes 10 s each time."""
_CODE = ("auto_map", "trust_remote_code", "custom_pipelines", "custom_generate", "use_kernels", "kernel_config")
_MOST = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers", "num_nextn_predict_layers"), 1000),
    **dict.fromkeys(("head_dim", "r", "lora_alpha"), 100_000),
    **dict.fromkeys(("num_labels", "id2label", "label2id"), LABELS),
}
"""The most that a config may claim; larger numbers make transformers allocate or loop before it sees the weights."""
_SIZES = frozenset(
    (
        *("vocab_size", "hidden_size", "n_embd", "d_model", "num_hidden_layers", "n_layer", "num_layers", "n_layers"),
        *("num_attention_heads", "n_head", "head_dim", "max_position_embeddings", "n_positions"),
    )
)
"""Sizes of which no model has zero."""
_COUNTS = re.compile(r"(?:num|n)_\w*(?:layers?|heads?|experts?)\w*")
_NARROW = ("word_embed_proj_dim", "embedding_size")
"""Settings by which the embedding of a model may be narrower than its layers (OPT, ALBERT)."""
_FETCH = "fetch the tokenizer files that were published with the weights"
_ALIKE = "they belong to different models: fetch config.json and the weights of one"
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_EMBEDDING = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings|embeddings)\.weight$")
_PLACES = re.compile(
    r"^(?!.*(?:vision|visual|audio|encoder|tower))(?:.*\.)?(?:wpe|embed_positions|position_embeddings)\.weight$"
)


def check_folder(folder: Path, thorough: bool = False) -> None:
    """Make sure that a folder can be loaded as a model, without loading it.

    Args:
        thorough: also read all weights and look for NaN and infinity; about a second per gigabyte.

    Raises:
        DataError: it cannot; the message says why, and what to do.
    """
    check_code(folder)
    if (folder / "adapter_config.json").is_file():
        base = mapping(folder / "adapter_config.json").get("base_model_name_or_path")
        raise DataError(
            f"{folder} is an adapter of {str(base)[:80]!r}, not a whole model; merge it into its base with peft "
            "(merge_and_unload, save_pretrained) and name the merged folder"
        )
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} is not a model folder: it has no config.json")
    config = mapping(folder / "config.json")
    check_quantized(config, folder)
    tensors = tensors_of(folder)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        if (folder / "tekken.json").is_file():
            raise DataError(
                f"{folder} has its tokenizer as tekken.json only, which only mistral-common reads: "
                "fetch tokenizer.json and tokenizer_config.json of the same model beside it"
            )
        raise DataError(f"{folder} has no tokenizer: no tokenizer.json, tokenizer.model or vocab.json; {_FETCH}")
    _check_sizes(config, tensors, folder)
    check_use(folder)
    if thorough:
        check_numbers(tensors)


def check_code(folder: Path) -> None:
    """The quick part of the check: loading the folder must run no code and read no file outside; likewise the folder
    that an adapter names as its base.

    Raises:
        DataError: it would run code or read such a file.
    """
    _check_files(folder)
    adapter = folder / "adapter_config.json"
    if adapter.is_file() and isinstance(base := mapping(adapter).get("base_model_name_or_path"), str):
        if "\0" in base or len(base) > 4000:
            raise DataError(f"{adapter} names a base that is no path; refused")
        if Path(base).is_dir():
            _check_files(Path(base))


def _check_files(folder: Path) -> None:
    _check_entries(folder)
    for path in sorted(folder.glob("*.json")):
        if path.name not in ("tokenizer.json", "vocab.json") and not path.name.endswith(".index.json"):
            _check_config(mapping(path), path)


def check_use(folder: Path) -> None:
    """The part of the check that tries things: the tokenizer and the chat templates, each in a limited process.

    It belongs before every load. What was tried in this process is not tried again, wherever it lies.

    Raises:
        DataError: one of them cannot be used.
    """
    check_templates(folder)
    tokenizer = folder / "tokenizer.json"
    if tokenizer.is_file():
        _tokens(tokenizer)


# ---- files -------------------------------------------------------------------------------------------------------
def _check_entries(folder: Path) -> None:
    """Links may point into the folder, or into the blobs of the hub's cache that it belongs to; there are no pipes."""
    root = folder.resolve()
    blobs = root.parents[1] / "blobs" if len(root.parents) > 1 and root.parent.name == "snapshots" else root
    paths = [*islice(folder.glob("*"), FILES), *islice(folder.glob("additional_chat_templates/*"), FILES)]
    if len(paths) >= FILES:
        raise DataError(f"{folder} has {FILES:,} files or more, too many for a model")
    for path in sorted(paths):
        try:
            target = path.resolve()
            mode = target.stat().st_mode if path.exists() else 0
        except (OSError, RuntimeError) as error:  # links in a circle
            raise DataError(f"{path} cannot be read: {error}") from error
        if path.is_symlink() and not (target.is_relative_to(root) or target.is_relative_to(blobs)):
            raise DataError(f"{path} is a link out of the folder; put the file itself there")
        if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            foreign.check(target)


def _check_config(values: dict[str, Any], path: Path) -> None:
    """Refuse settings that make transformers run code from the folder or a repository, and absurd numbers."""
    stack: list[tuple[str, Any]] = list(values.items())
    while stack:
        key, value = stack.pop()
        chooses = key.endswith("_implementation")
        if isinstance(value, dict) and len(value) > (most := _MOST.get(key, math.inf)):
            raise DataError(f"{path} has {len(value):,} entries in {key}, more than {most:,}; refused")
        if isinstance(value, dict):
            stack += [(key, item) for item in value.values()] if chooses else value.items()
        if isinstance(value, list):
            stack += [(key, item) for item in value]
        foreign = chooses and isinstance(value, str) and "/" in value  # the name of a repository with code
        if foreign or ((key in _CODE or key.endswith("_internal")) and value not in (None, False)):
            raise DataError(f"{path.parent} needs code of its own ({key} in {path.name}), which is not run")
        if isinstance(value, int | float) and not isinstance(value, bool):
            said = f"{path} claims {f'{value:,}'[:40]} for {key}"
            if value > _MOST.get(key, 10_000 if _COUNTS.fullmatch(key) else math.inf):
                raise DataError(f"{said}; refused")
            if key in _SIZES and not (isinstance(value, int) and value > 0):
                raise DataError(f"{said}, which must be a whole number above 0; refused")


# ---- what belongs together ---------------------------------------------------------------------------------------
def _check_sizes(config: dict[str, Any], tensors: dict[str, Tensor], folder: Path) -> None:
    """The config must match the weights, and every token of the tokenizer must have an embedding."""
    text = config["text_config"] if isinstance(config.get("text_config"), dict) else config

    def number(*names: str) -> int:
        found = (text.get(name) for name in names)
        return next((value for value in found if isinstance(value, int) and value > 0), 0)

    vocabulary, width = number("vocab_size"), number("hidden_size", "n_embd", "d_model")
    layers = number("num_hidden_layers", "n_layer", "num_layers", "n_layers")
    inner = number("intermediate_size", "n_inner", "ffn_dim", "moe_intermediate_size")
    experts = max(1, number("num_local_experts", "num_experts", "n_routed_experts"))
    needed, there = vocabulary * width + layers * width * (width + experts * inner), _numbers(tensors)
    if needed > SPARE * there + 1_000_000:
        raise DataError(
            f"{folder / 'config.json'} describes a model of at least {in_bytes(2 * needed)}, but the weights are "
            f"{in_bytes(2 * there)}; refused"
        )
    made = [int(match[1]) for name in tensors if (match := _LAYER.search(name))]
    if made and layers and max(made) + 1 < layers:
        raise DataError(f"{folder}: config.json describes {layers} layers, the weights have {max(made) + 1}; {_ALIKE}")
    rows, *columns = _embedding(tensors)
    if rows and vocabulary > rows:
        raise DataError(
            f"{folder}: config.json has a vocabulary of {vocabulary}, the embedding has {rows} rows; {_ALIKE}"
        )
    if width and columns and columns != [width] and not any(name in text for name in _NARROW):
        raise DataError(f"{folder}: config.json has a width of {width}, the embedding has {columns[0]}; {_ALIKE}")
    places = number("max_position_embeddings", "n_positions")
    if (known := _rows(tensors, _PLACES)) and places > known:
        raise DataError(f"{folder}: config.json has {places} positions, the weights have {known}; {_ALIKE}")
    ids = _tokens(folder / "tokenizer.json", rows) if (folder / "tokenizer.json").is_file() else None
    if ids and rows and ids.beyond > FEW * ids.count:
        raise DataError(
            f"{folder}: {ids.beyond} tokens of the tokenizer, up to {ids.highest}, are not among the {rows} of the "
            f"model; it belongs to another model: {_FETCH}"
        )
    if rows and ids and ids.count and ids.highest + 1 < LEAST * rows:
        raise DataError(
            f"{folder}: the tokenizer has {ids.highest + 1} tokens, the embedding of the model {rows} rows; it belongs "
            f"to another model: {_FETCH}"
        )


def _numbers(tensors: dict[str, Tensor]) -> int:
    return sum(math.prod(tensor.shape) for tensor in tensors.values())


def _embedding(tensors: dict[str, Tensor]) -> tuple[int, ...]:
    """The shape of the embedding of words, which is the longest; (0,) without one."""
    shapes = (tensor.shape for name, tensor in tensors.items() if _EMBEDDING.search(name) and tensor.shape)
    return max(shapes, default=(0,))


def _rows(tensors: dict[str, Tensor], pattern: re.Pattern[str]) -> int:
    return max(
        (tensor.shape[0] for name, tensor in tensors.items() if pattern.search(name) and tensor.shape), default=0
    )


def _tokens(path: Path, rows: int | None = None) -> Tokens:
    """What a look at tokenizer.json found, for a model with so many rows; a file is looked at once."""
    place = path.resolve()
    if place.stat().st_size > TOKENIZER:
        raise DataError(f"{path} is larger than {in_bytes(TOKENIZER)}")
    handle = foreign.opened(place)
    with os.fdopen(handle, "rb") as file:
        known = _looked.setdefault(hashlib.file_digest(file, "sha256").hexdigest(), {})
    if rows is None and known:
        found = next(iter(known.values()))
    elif (rows or 0) in known:
        found = known[rows or 0]
    else:
        found = known[rows or 0] = look(place, rows or 0)
    if isinstance(found, str):
        raise DataError(f"{path}: the tokenizer {found}; refused")
    return found


_looked: dict[str, dict[int, Tokens | str]] = {}
"""What was found, by the sha256 of the file and the rows of the model."""
