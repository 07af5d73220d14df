"""How much memory a model takes, from its files; and what is said where that is more than there is."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from selfimprove import memory
from selfimprove.errors import EngineError
from selfimprove.memory import Need, check, free, need

SEVEN = Need(weights=7_000_000_000, sampling=16.8e9, training=151e9, adapter=51e9)


def test_the_need_follows_from_the_sizes_in_the_files(small_llama: ModuleType, tmp_path: Path) -> None:
    folder = small_llama.build(tmp_path / "llama")
    from transformers import AutoModelForCausalLM

    weights = AutoModelForCausalLM.from_pretrained(folder).num_parameters()
    found = need(folder)
    assert found.weights == weights
    assert found.sampling == pytest.approx(1.2 * 4 * weights)  # stored in float32
    assert found.training == pytest.approx(1.2 * 20 * weights)
    assert found.adapter == pytest.approx(1.2 * (8 + 0.16) * weights)


def test_several_files_are_added_up(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    for i in range(3):
        save_file({f"w{i}": torch.zeros(10, 7, dtype=torch.bfloat16)}, str(tmp_path / f"model-{i}.safetensors"))
    assert (need(tmp_path).weights, need(tmp_path).sampling) == (210, pytest.approx(1.2 * 420))


def test_what_fits_is_passed_over() -> None:
    assert check("m", SEVEN, 151e9, "H200") == ""


def test_what_can_be_run_but_not_trained_gets_the_ways_that_fit() -> None:
    said = check("some/model", SEVEN, 80e9, "H100")
    assert "some/model has 7 billion weights" in said and "151 GB" in said and "H100 has 80 GB free" in said
    assert "lora.r=16 (about 51 GB)" in said and "at most 4 billion" in said and "2 times this memory" in said
    assert "lora" not in check("some/model", SEVEN, 40e9, "A100")
    assert "\n" not in said


def test_what_cannot_even_be_loaded_is_refused() -> None:
    with pytest.raises(EngineError, match=r"about 17 GB and L4 has 8\.0 GB free") as caught:
        check("some/model", SEVEN, 8e9, "L4")
    assert caught.value.code == 69 and "at most 3 billion weights" in str(caught.value)


def test_the_memory_of_this_machine_is_a_number() -> None:
    room, device = free()
    assert room > 1e8 and device


def test_a_machine_that_does_not_tell_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unread(*_: object) -> str:
        raise OSError

    monkeypatch.setattr(memory.Path, "read_text", unread)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    room, device = free()
    assert check("some/model", SEVEN, room, device) == ""
