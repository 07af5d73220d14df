"""Files that may come from a stranger: regular ones only, without waiting, bounded."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove import foreign
from selfimprove.errors import DataError


def bound(path: Path) -> None:
    os.chdir(path.parent)  # a socket's path is at most 107 bytes long
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


def hole(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "link": (lambda path: path.symlink_to("/etc/passwd"), "is a symlink, not a file"),
    "link to nothing": (lambda path: path.symlink_to("nothing"), "is a symlink, not a file"),
    "pipe": (os.mkfifo, "is a named pipe, not a file"),
    "socket": (bound, "is a socket, not a file"),
    "folder": (lambda path: path.mkdir(), "is a folder, not a file"),
    "hole": (hole, "is mostly a hole"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plant, said = ODD[kind]
    plant(tmp_path / "x.json")
    for read in (foreign.content, foreign.json_in, lambda path: [*foreign.lines(path)]):
        with pytest.raises(DataError, match=said):
            read(tmp_path / "x.json")


def test_what_lies_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "audit").touch()
    with pytest.raises(DataError, match="lies below a file, not a folder"):
        foreign.content(tmp_path / "audit" / "alerts.json")
    foreign.check(tmp_path / "audit" / "alerts.json")


def test_a_file_with_holes_of_which_most_is_there_is_read(tmp_path: Path) -> None:
    with (tmp_path / "weights").open("wb") as file:
        for _ in range(3):
            file.write(b"x" * 8_000_000)
            file.seek(2_000_000, os.SEEK_CUR)
        file.write(b"x")
    assert len(foreign.content(tmp_path / "weights")) == 30_000_001


DAMAGED: dict[str, tuple[bytes, str]] = {
    "deep": (b"[" * 20_000 + b"]" * 20_000, "more than 200 levels"),
    "deep behind a text": (
        b'["\\\\", "\\"]]]]", ' + b'{"a": ' * 300 + b"1" + b"}" * 300 + b"]",
        "more than 200 levels",
    ),
    "many": (b"[" + b"[]," * 2_000_000 + b"[]]", "more than 2,000,000 values"),
    "open": (b"[" * 100, "is damaged"),
    "no text": (b"\xff\xfe{", "is damaged"),
    "a long number": (b"9" * 5000, "is damaged"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_json_has_bounds(kind: str, tmp_path: Path) -> None:
    content, said = DAMAGED[kind]
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DataError, match=said):
        foreign.json_in(tmp_path / "x.json")


def test_brackets_in_texts_are_no_levels(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'["' + b"[{" * 900 + b'\\"' + b"[" * 900 + b'", []]')
    assert foreign.json_in(tmp_path / "x.json") == ["[{" * 900 + '"' + "[" * 900, []]
    with pytest.raises(DataError, match="at most 5"):
        foreign.content(tmp_path / "x.json", most=5)


def test_a_line_has_an_end(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"one\ntwo")
    assert [*foreign.lines(tmp_path / "x", 4)] == [b"one\n", b"two"]
    with pytest.raises(DataError, match="a line of more than 3 bytes"):
        list(foreign.lines(tmp_path / "x", 3))
