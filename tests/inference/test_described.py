"""Whether a config asks for more memory than its weights, counted on torch's device `meta`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfimprove.errors import DataError
from selfimprove.inference import described
from selfimprove.safety.weight_files import Tensor

SMALL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "num_key_value_heads": 2,
    "vocab_size": 10,
    "tie_word_embeddings": False,
}
NUMBERS = 2 * 10 * 8 + 4 * 8 * 8 + 3 * 8 * 16 + 3 * 8
"""Two embeddings, four matrices of attention, three of the feed-forward part, three norms: 824."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config; how many numbers its weights have is said by the test."""
    monkeypatch.setattr(described, "check_use", lambda folder: None)
    monkeypatch.setattr(described, "_counted", {})
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    return tmp_path


def weights(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    tensor = Tensor(Path("x"), "F32", (count,), 0)
    monkeypatch.setattr(described, "tensors_of", lambda folder: {"w": tensor})


@pytest.mark.long
def test_the_numbers_of_a_model_are_counted_without_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights(monkeypatch, NUMBERS)
    described.check(folder)
    assert [*described._counted.values()] == [NUMBERS]
    (folder / "config.json").write_text(json.dumps(SMALL | {"vocab_size": 10_000_000_000}))
    with pytest.raises(DataError, match=r"describes a model of 320 GB, but the weights are 1\.65 KB; refused"):
        described.check(folder)


def test_what_cannot_be_built_is_left_to_loading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights(monkeypatch, 1)
    (folder / "config.json").write_text(json.dumps({"model_type": "no such kind"}))
    described.check(folder)
    (folder / "config.json").unlink()
    described.check(folder)
