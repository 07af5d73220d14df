"""Checks whether a model folder from a stranger can be loaded, by reading its files without running code.

Weights must be safetensors, because a pickle can run code. Other files are refused only if they name code, a place
outside the folder or an absurd size, so that new architectures still load.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.safety.quantized import check_quantized
from selfimprove.safety.template_worker import objection
from selfimprove.safety.weight_files import CONFIG, Tensor, check_numbers, in_bytes, mapping, tensors_of

TOKENIZER = 500_000_000
"""Bytes of the largest tokenizer."""
SPARE = 16
"""Largest ratio of the weights that a config describes to those present: layers may be shared, weights packed."""
FEW = 0.01
"""Share of a tokenizer's tokens that a model may lack: some published tokenizers have extra tokens for images."""
_CODE = ("auto_map", "trust_remote_code", "custom_pipelines", "custom_generate", "use_kernels", "kernel_config")
_COUNTS = re.compile(r"(?:num|n)_\w*(?:layers?|heads?|experts?)\w*")
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
        raise DataError(f"{folder} has no tokenizer: no tokenizer.json, tokenizer.model or vocab.json")
    _check_sizes(config, tensors, folder)
    _check_templates(folder)
    if thorough:
        check_numbers(tensors)


def check_code(folder: Path) -> None:
    """The quick part of the check: loading the folder must run no code and read no file outside.

    Raises:
        DataError: it would run code or read such a file.
    """
    _check_links(folder)
    for path in sorted(folder.glob("*.json")):
        if path.name not in ("tokenizer.json", "vocab.json") and not path.name.endswith(".index.json"):
            _check_config(mapping(path), path)


# ---- files -------------------------------------------------------------------------------------------------------
def _check_links(folder: Path) -> None:
    """Links may point into the folder, or into the blobs of the hub's cache that it belongs to."""
    root = folder.resolve()
    blobs = root.parents[1] / "blobs" if len(root.parents) > 1 and root.parent.name == "snapshots" else root
    for path in sorted(folder.glob("*")):
        target = path.resolve()
        if path.is_symlink() and not (target.is_relative_to(root) or target.is_relative_to(blobs)):
            raise DataError(f"{path} is a link out of the folder; put the file itself there")


def _check_config(values: dict[str, Any], path: Path) -> None:
    """Refuse settings that make transformers run code from the folder or a repository, and absurd numbers."""
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


# ---- what belongs together ---------------------------------------------------------------------------------------
def _check_sizes(config: dict[str, Any], tensors: dict[str, Tensor], folder: Path) -> None:
    """The config must match the weights, and every token of the tokenizer must have an embedding."""
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
            f"{folder / 'config.json'} describes a model of at least {in_bytes(2 * needed)}, but the weights are "
            f"{in_bytes(2 * there)}; refused"
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
    """The token ids of tokenizer.json; empty if the file does not exist."""
    if not path.is_file():
        return []
    values = mapping(path, TOKENIZER)
    model = values.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    added = values.get("added_tokens")
    ids: list[Any] = [*range(len(vocabulary))] if isinstance(vocabulary, list) else []
    ids += vocabulary.values() if isinstance(vocabulary, dict) else []
    ids += [token.get("id") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    return [i for i in ids if isinstance(i, int)]


def _check_templates(folder: Path) -> None:
    """Test every chat template of the folder."""
    for path, text in _templates(folder):
        if wrong := objection(text):
            raise DataError(f"{path}: the chat template {wrong}; refused")


def has_template(folder: Path) -> bool:
    """Whether the folder has a chat template."""
    return bool(_templates(folder))


def _templates(folder: Path) -> list[tuple[Path, str]]:
    """The chat templates of a folder, each with its file."""
    found: list[tuple[Path, Any]] = []
    for path in sorted([*folder.glob("*.jinja"), *folder.glob("additional_chat_templates/*.jinja")]):
        if path.stat().st_size > CONFIG:
            raise DataError(f"{path} is larger than {in_bytes(CONFIG)}")
        found.append((path, path.read_text(encoding="utf-8", errors="replace")))
    for name in ("tokenizer_config.json", "chat_template.json"):
        if (folder / name).is_file():
            said = mapping(folder / name).get("chat_template")
            several = (
                [part.get("template") for part in said if isinstance(part, dict)] if isinstance(said, list) else []
            )
            found += [(folder / name, text) for text in several or [said]]
    return [(path, text) for path, text in found if isinstance(text, str)]
