"""Whether a data folder of a stranger leads anywhere else: its links, its card, its list of files. Nothing is loaded.

The library `datasets` opens what a card (README.md) or a state file names, wherever it is: a path elsewhere, an address
on the network, an archive. So both are read here first, as far as they name files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.problems.jsonl_rows import beginning, check_link, kind_of

FILES, CARD, VALUES, LEVELS = 20_000, 300_000, 30_000, 30
"""Most files of a folder; most bytes, values and levels of what is on top of its card."""
CARDS = ("README.md", ".huggingface.yaml")
PACKED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip", ".tar", ".tgz", ".7z", ".rar")
"""Suffixes of files that are packed."""


def check_folder(folder: Path, option: str, unpacked: tuple[str, ...] = ()) -> None:
    """Make sure that reading a folder reads nothing outside it, waits for nothing and unpacks nothing.

    Args:
        unpacked: endings of packed files that are unpacked nevertheless, within limits.

    Raises:
        DataError: it might; the message names the file.
    """
    for path in _entries(folder, option):
        check_link(path, option)
        if not stat.S_ISREG(path.stat().st_mode):
            foreign.check(path)
        if path.suffix.lower() in PACKED and not path.name.lower().endswith(unpacked or "/"):
            raise DataError(f"{option}: {path} is packed, and nothing is unpacked; unpack it where you trust it")
    for name in CARDS:
        if (folder / name).is_file():
            _check_card(folder / name, option)


def check_file(path: Path, option: str, kind: str) -> None:
    """Make sure that a file of data is what its name says.

    Args:
        kind: the builder of `datasets` that reads such files.

    Raises:
        DataError: it is an archive, a pickle, or no file.
    """
    check_link(path, option)
    found = kind_of(beginning(path))
    if found and not (kind == "parquet" and "parquet" in found) and not (kind == "arrow" and "arrow" in found):
        raise DataError(f"{option}: {path} is {found}; nothing is unpacked or run")


def saved_files(folder: Path, split: str) -> tuple[list[str], list[Path] | None]:
    """The splits of a folder of `save_to_disk`, and the files of one in their order; None if it has no such split.

    Raises:
        DataError: a state file is damaged, or names a file elsewhere.
    """
    names = [split]
    if (folder / "dataset_dict.json").exists():
        said = _json(folder / "dataset_dict.json").get("splits")
        if not isinstance(said, list) or not all(isinstance(name, str) and _inside(name) for name in said):
            raise DataError(f"{folder / 'dataset_dict.json'} names a split that is no folder in it")
        if split not in said:
            return said, None
        names, folder = said, folder / split
        check_folder(folder, str(folder))
    listed = _json(folder / "state.json").get("_data_files")
    files = [one.get("filename") if isinstance(one, dict) else None for one in listed or ()]
    if not isinstance(listed, list) or not all(isinstance(name, str) and _inside(name) for name in files):
        raise DataError(f"{folder / 'state.json'} names a file that is not in the folder")
    return names, [folder / str(name) for name in files]


def _json(path: Path) -> dict[str, Any]:
    try:
        found = foreign.json_in(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} is damaged: it is not a mapping")
    return found


def _inside(name: str) -> bool:
    """Whether a name is that of a file in a folder, not a path to somewhere."""
    return name == Path(name).name and name not in ("", ".", "..") and "\0" not in name


def _entries(folder: Path, option: str) -> Iterator[Path]:
    """The files below a folder, and links to folders; hidden folders, which the library does not read, are left out."""
    count, left = 0, [folder]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                count += 1
                if count > FILES:
                    raise DataError(f"{option}: {folder} has more than {FILES:,} files; name a part of it")
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith((".", "__")):
                        left.append(Path(entry.path))
                else:
                    yield Path(entry.path)


def _check_card(path: Path, option: str) -> None:
    """Refuse a card whose `configs` name a file outside the folder; the library globs whatever they say."""
    import yaml

    text = foreign.content(path, 10_000_000).decode("utf-8", errors="replace")
    if path.suffix == ".md":
        first, _, rest = text.partition("\n")
        if first.strip() != "---":
            return
        text = rest.partition("\n---")[0]
    if len(text) > CARD:
        raise DataError(f"{option}: {path} has more than {CARD:,} characters on top; shorten it")
    try:
        depth = 0
        for count, event in enumerate(yaml.parse(text, yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > LEVELS or count > VALUES:
                raise DataError(f"{option}: {path} uses aliases, or is too deep or too long; shorten it")
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{option}: {path} is damaged: its top is no YAML") from error
    for said in _texts(values.get("configs") if isinstance(values, dict) else None):
        if "://" in said or said.startswith(("/", "~", "\\")) or ".." in said.replace("\\", "/").split("/"):
            raise DataError(f"{option}: {path} names {said[:80]!r}, which is not in the folder; correct it")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
