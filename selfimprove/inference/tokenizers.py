"""The tokenizer of a model, read once in a process for all folders that have the same files.

Reading the 200,000 words of gpt-oss takes four seconds, those of Gemma three, and each checkpoint of a run has the
tokenizer of its start, to the byte. Those who share one have settings of their own: special tokens, template, sides.
"""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

KEPT = 2
"""Tokenizers that are kept: those of the model and of a judge."""
_PARTS = ("*.json", "*.jinja", "*.txt", "*.model", "additional_chat_templates/*")
"""Files that a tokenizer may be read from. config.json is one: it names the class."""
_kept: OrderedDict[bytes, tuple[Any, int]] = OrderedDict()
"""Digest of the files -> the tokenizer, which nobody is given, and its number of tokens."""


def read(path: str) -> Any:
    """The tokenizer of a folder or hub id; a folder's is read from there alone.

    Raises:
        Exception: transformers raises many types where a folder is damaged.
    """
    from transformers import AutoTokenizer

    folder = Path(path)
    local = folder.exists()
    place = _digest(folder) if folder.is_dir() else b""
    if place in _kept:
        _kept.move_to_end(place)
        tokenizer, size = _kept[place]
        if len(tokenizer) == size:  # tokens that somebody adds are in the part that all share
            return _own(tokenizer, path)
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=local, mistral_format=False)
    if not place or not tokenizer.is_fast:
        return tokenizer
    _kept[place] = tokenizer, len(tokenizer)
    while len(_kept) > KEPT:
        _kept.popitem(last=False)
    return _own(tokenizer, path)


def _digest(folder: Path) -> bytes:
    found = hashlib.sha256()
    for file in sorted(file for part in _PARTS for file in folder.glob(part) if file.is_file()):
        content = file.read_bytes()
        found.update(f"{file.relative_to(folder)}\n{len(content)}\n".encode())
        found.update(content)
    return found.digest()


def _own(tokenizer: Any, path: str) -> Any:
    """A copy that shares the words, which nothing changes, and has its own settings."""
    made = copy.copy(tokenizer)
    for name, value in vars(tokenizer).items():
        vars(made)[name] = copy.copy(value) if isinstance(value, dict | list) else value
    made.name_or_path = made.init_kwargs["name_or_path"] = path
    return made
