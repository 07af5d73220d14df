"""How much memory is free, and whether a file fits into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfimprove.errors import DataError
from selfimprove.foreign import free_memory


def test_what_is_free_is_that_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "most").write_text("5000000\n")
    (tmp_path / "taken").write_text("3000000\n")
    monkeypatch.setattr(
        free_memory, "_GROUPS", ((tmp_path / "most", tmp_path / "taken"), (tmp_path / "none", tmp_path))
    )
    assert free_memory.free() == 2_000_000
    (tmp_path / "most").write_text("max\n")
    assert free_memory.free() > 2_000_000


def test_a_file_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "free", lambda: 800_000_000)
    free_memory.check_fits(Path("x"), 60_000_000)  # small ones are always read
    free_memory.check_fits(Path("x"), 100_000_000)  # eight times as much, exactly what is free
    with pytest.raises(DataError, match=r"x has 100,000,001 bytes, about 0\.8 GB.*0\.8 GB are free here"):
        free_memory.check_fits(Path("x"), 100_000_001)


def test_a_file_of_brackets_is_refused_and_one_of_numbers_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(free_memory, "DENSE", 1000)
    monkeypatch.setattr(free_memory, "GRANTED", 0)
    file = tmp_path / "some.jsonl"
    for line, fine in ((b"{}," * 100, False), (b"[]," * 100, False), (b"12345, " * 100, True), (b'"a", ' * 100, True)):
        file.write_bytes(line * 20)
        size = file.stat().st_size
        if fine:
            free_memory.check_dense(file, size)
        else:
            with pytest.raises(DataError, match=f"values in {size:,} bytes, more than records have"):
                free_memory.check_dense(file, size)
