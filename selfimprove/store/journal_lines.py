"""The lines of a journal: what a result looks like on disk, and which of what is there can be used."""

from __future__ import annotations

import itertools
from array import array
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.foreign.bounded_json import whole
from selfimprove.records import Prompt, Rollout, changed, loads
from selfimprove.store import durable
from selfimprove.store.seal import from_line, signed_line

UNUSABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, DataError)
"""What a stored value raises that has not the form of the result that it stands for."""
_FIELDS = tuple(
    (one.name, one.default_factory() if one.default_factory is not MISSING else one.default)
    for one in fields(Rollout)
    if one.name != "prompt"
)
"""The fields of a rollout that a line may have, and the values that it leaves out."""


def plain(made: Any) -> Any:
    """Groups of rollouts as lines; other values unchanged."""
    if not isinstance(made, list):
        return made
    return [[_line(one) if isinstance(one, Rollout) else one for one in group] for group in made]


def _line(rollout: Rollout) -> dict[str, Any]:
    """A rollout without its prompt, which the next request has; its fields that records keep in memory only are here,
    so that a resumed step has the same tokens."""
    own = vars(rollout)
    values = {name: own[name] for name, usual in _FIELDS if own[name] != usual}
    return {**values, "ids": list(rollout.ids)} if "ids" in values else values


def rollout_of(line: dict[str, Any] | str | list[Any], prompt: Prompt) -> Rollout:
    """The rollout of a line; a text, or a list that begins with one, is an older journal's.

    Raises:
        Exception: one of `UNUSABLE`: it is none.
    """
    if isinstance(line, dict):
        lists = {"parents": tuple(line.get("parents", ())), "ids": array("i", line.get("ids", ()))}
        made = Rollout(**{"prompt": prompt, **line, **lists})
    else:
        text, ids, noted, tops = (line, (), {}, []) if isinstance(line, str) else line
        found = loads(text)
        if not isinstance(found, Rollout):
            raise ValueError("a record of another kind")
        made = changed(found, prompt=prompt, ids=array("i", ids), noted=noted, tops=tops)
    said = [text for message in made.completion for text in (message["role"], message["content"])]
    kinds = [(made.completion, list), (made.info, dict), (made.noted, dict), (made.tops, list), (made.role, str)]
    kinds += [(made.logprobs, dict | None), (made.reward, float | int | None), *((text, str) for text in said)]
    if not said or not all(isinstance(value, kind) for value, kind in kinds):
        raise ValueError("not a rollout")
    return made


def is_completion(value: Any) -> bool:
    """Whether a value that an engine has stored is a completion."""
    return isinstance(value, dict) and "completion" in value


def entry_of(name: str, value: Any) -> bytes:
    """A line of a journal."""
    return f"{signed_line({'name': name, 'value': value})}\n".encode()


def read(file: Path, unusable: list[bytes]) -> dict[str, Any]:
    """The intact lines of a journal by name; whole ones that are not are added to `unusable`, a last part is cut off.

    Halves of characters in texts, which an older version kept, become U+FFFD.

    Raises:
        DataError: what it holds needs more memory than is free.
    """
    if file.is_symlink() or not file.is_file():
        return {}
    found, size = dict[str, Any](), file.stat().st_size
    lines = foreign.lines(file, size)
    try:
        first = next(lines, b"")
    except DataError:  # a file that is mostly a hole
        return {}
    foreign.check_fits(file, size)
    for line in itertools.chain([first] * bool(first), lines):
        if not line.endswith(b"\n"):  # the process that wrote it was killed
            durable.truncate(file, size - len(line))
            break
        try:
            if (entry := from_line(line[:-1].decode())) is None:
                raise ValueError("changed")
            found[entry["name"]] = whole(entry["value"])
        except (*UNUSABLE, RecursionError):
            unusable.append(line)
    return found
