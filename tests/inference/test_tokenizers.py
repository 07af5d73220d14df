"""Folders with the same files share the words of a tokenizer, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from selfimprove.inference import tokenizers
from selfimprove.methods.model.tiny import _tokenizer


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two folders with the same tokenizer, of which nothing was read yet."""
    monkeypatch.setattr(tokenizers, "_kept", type(tokenizers._kept)())
    first, second = tmp_path / "first", tmp_path / "second"
    _tokenizer().save_pretrained(first)
    shutil.copytree(first, second)
    return first, second


def test_equal_folders_share_the_words_and_each_reader_has_settings_of_its_own(folders: tuple[Path, Path]) -> None:
    first, second = (tokenizers.read(str(folder)) for folder in folders)
    assert first.backend_tokenizer is second.backend_tokenizer
    assert (first.name_or_path, second.name_or_path) == tuple(map(str, folders))
    ids, before = second("12+3=")["input_ids"], {**second.special_tokens_map}
    first.pad_token, first.chat_template, first.padding_side = "+", "another", "right"
    again = tokenizers.read(str(folders[1]))
    for one in (second, again):
        assert {**one.special_tokens_map} == before and one.chat_template != "another"
        assert one.padding_side == "left" and one("12+3=")["input_ids"] == ids
    first(["1", "12"], padding=True)
    assert second(["1", "12"])["input_ids"][0] == ids[:1]


@pytest.mark.parametrize("change", ["template", "added"])
def test_a_changed_file_or_an_added_token_is_read_anew(folders: tuple[Path, Path], change: str) -> None:
    first, words = tokenizers.read(str(folders[0])), len(tokenizers.read(str(folders[0])))
    if change == "template":
        (folders[1] / "chat_template.jinja").write_text("another")
    else:
        first.add_tokens(["~~"])
    second: Any = tokenizers.read(str(folders[1]))
    assert second.backend_tokenizer is not first.backend_tokenizer and len(second) == words
    assert (second.chat_template == "another") == (change == "template")
