"""How much memory a model takes, from its files; what is said where that is more than there is, and who has the rest."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from selfimprove.errors import EngineError
from selfimprove.inference import memory
from selfimprove.inference import weights as forward
from selfimprove.inference.memory import Need, Plan, Room, check, free, need, ready
from selfimprove.inference.vllm_process import Process, Weights

SEVEN = Need(weights=7_000_000_000, stored=14_000_000_000, matrices=6_000_000_000)
"""Stored in 16 bits; a billion of its numbers are embeddings."""
WHOLE = Plan(trainer="optimization.sft")


def gpu(free: float, gpus: int = 1) -> Room:
    return Room(free=free, device="H100", gpus=gpus)


def test_the_need_follows_from_the_sizes_in_the_files(small_llama: ModuleType, tmp_path: Path) -> None:
    folder = small_llama.build(tmp_path / "llama")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    weights = model.num_parameters()
    found = need(folder)
    assert (found.weights, found.stored) == (weights, 4 * weights)  # stored in float32
    assert found.vocabulary == model.config.vocab_size and found.kept == 2 * 2 * 2 * 8 * 4, "2 layers, 2 heads of 8"
    linear = sum(one.numel() for name, one in model.named_parameters() if "proj" in name)
    assert 0 < found.matrices == linear < weights


def test_packed_weights_count_as_the_numbers_that_they_become(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {
        "experts.down_proj_blocks": torch.zeros(2, 32, 3, 16, dtype=torch.uint8),  # 2 x 32 x 96 numbers
        "experts.down_proj_scales": torch.zeros(2, 32, 3, dtype=torch.uint8),
        "q_proj.weight": torch.zeros(5, 7, dtype=torch.float8_e4m3fn),
        "q_proj.weight_scale_inv": torch.zeros(1, 1),
        "norm.weight": torch.zeros(7),
    }
    save_file(tensors, str(tmp_path / "model.safetensors"))
    found = need(tmp_path)
    assert (found.weights, found.stored) == (2 * 32 * 96 + 35 + 7, 2 * (2 * 32 * 96 + 35) + 4 * 7)


def test_bytes_are_those_of_the_way_to_train() -> None:
    assert SEVEN.sampling(WHOLE) == pytest.approx(1.2 * 14e9)
    assert SEVEN.held("weights") == 7e9 * 16
    assert SEVEN.held("adapter") == 7e9 * 4
    assert SEVEN.held("4bit") == pytest.approx(6e9 * 4.127 / 8 + 1e9 * 4)
    assert SEVEN.training("weights", WHOLE) == pytest.approx(1.2 * (112e9 + 14e9))
    assert SEVEN.training("adapter", WHOLE) == pytest.approx(1.2 * (28e9 + 0.16 * 7e9 + 14e9))
    assert SEVEN.training("weights", WHOLE, spread=8) == pytest.approx(1.2 * (14e9 + 14e9))
    published = replace(SEVEN, vocabulary=150_000, kept=131_072.0)
    long = replace(WHOLE, tokens=1000, reference=True)
    assert published.sampling(long) == pytest.approx(1.2 * 14e9 + 131_072 * 1000 + 8 * 150_000)
    more = published.training("weights", long) - published.sampling(long)
    assert more == pytest.approx(1.2 * (112e9 + 28e9) + 4 * 4096 * 32768), "the reference, and TRL's tiles of logits"
    shared = replace(WHOLE, sharing=2)
    assert SEVEN.sampling(shared) == pytest.approx(1.2 * 7e9)
    assert SEVEN.training("weights", shared) == pytest.approx(1.2 * (112e9 + 7e9))


def shards(folder: Path, count: int) -> None:
    import torch
    from safetensors.torch import save_file

    for i in range(count):
        save_file({f"w{i}": torch.zeros(10, 7, dtype=torch.bfloat16)}, str(folder / f"part-{i}.safetensors"))


def test_files_are_those_that_transformers_loads(tmp_path: Path) -> None:
    shards(tmp_path, 3)
    assert (need(tmp_path).weights, need(tmp_path).stored) == (210, 420), "without an index all of them"
    places = {"w0": "part-0.safetensors", "w1": "part-1.safetensors", "also": "part-1.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    assert (need(tmp_path).weights, need(tmp_path).stored) == (140, 280), "the third is another copy"
    shutil.copy(tmp_path / "part-2.safetensors", tmp_path / "model.safetensors")
    assert need(tmp_path).weights == 70, "one file goes before an index"


def test_what_fits_is_passed_over() -> None:
    assert check("m", SEVEN, WHOLE, gpu(152e9)) == ""
    assert check("m", SEVEN, Plan(), gpu(17e9)) == "", "nothing is trained"
    assert check("m", SEVEN, replace(WHOLE, way="adapter"), gpu(52e9)) == ""
    assert check("m", SEVEN, replace(WHOLE, way="4bit"), gpu(28e9)) == "", "1.2 * (7.1 + 1.1 + 14) GB"


def test_what_may_be_close_gets_the_ways_that_fit() -> None:
    said = check("some/model", SEVEN, WHOLE, gpu(120e9))
    assert "some/model has 7 billion weights: training all of them (optimization.sft) takes about 151 GB" in said
    assert "H100 has 120 GB free" in said and "optimization.sft.lora.r=16 (about 52 GB), or" in said
    assert "optimization.sft.lora.load_in_4bit=true (QLoRA, about 27 GB)" in said
    assert "2 such GPUs with launcher=accelerate and optimization.sft.fsdp_config=FILE" in said
    assert "a model of at most 5.6 billion weights" in said and "\n" not in said, "7 * 120 / 151.2"
    here = check("some/model", SEVEN, WHOLE, Room(free=120e9, device="this machine"))
    assert "lora.r=16" in here and not any(word in here for word in ("4bit", "GPU")), "neither works without a GPU"
    own = check("some/model", SEVEN, replace(WHOLE, adapts=False), gpu(120e9))
    assert "lora" not in own and "fsdp" not in own


def test_what_cannot_be_trained_as_the_recipe_says_is_refused() -> None:
    with pytest.raises(EngineError, match=r"training all of them .* each H100 has 80 GB free") as caught:
        check("some/model", SEVEN, WHOLE, gpu(80e9, gpus=8))
    assert "lora.r=16 (about 52 GB)" in str(caught.value) and "3 such GPUs" in str(caught.value), "134.4 / (80 - 16.8)"
    with pytest.raises(EngineError, match=r"training an adapter of them .* 25 GB free") as caught:
        check("some/model", SEVEN, replace(WHOLE, way="adapter"), gpu(25e9))
    assert "lora.r=16" not in str(caught.value) and "load_in_4bit" not in str(caught.value), "28 and 27 GB"
    assert "These fit" in check("some/model", SEVEN, replace(WHOLE, elsewhere=True), gpu(80e9))
    assert check("some/model", SEVEN, replace(WHOLE, spread=8), gpu(80e9, gpus=8)) == ""


def test_what_cannot_even_be_loaded_is_refused() -> None:
    with pytest.raises(EngineError, match=r"about 17 GB and H100 has 8\.0 GB free") as caught:
        check("some/model", SEVEN, WHOLE, gpu(8e9))
    assert caught.value.code == 69 and "at most 3.3 billion weights" in str(caught.value)
    assert "4 such GPUs with engine=vllm and engine.vllm.tensor_parallel_size=4" in str(caught.value), "16.8 / 8 is 2.1"
    with pytest.raises(EngineError) as caught:
        check("some/model", SEVEN, WHOLE, Room(free=8e9, device="this machine"))
    assert "GPU" not in str(caught.value)


def test_gpus_that_share_a_model_take_a_larger_one() -> None:
    seventy = Need(weights=70_000_000_000, stored=140_000_000_000, matrices=68_000_000_000)
    with pytest.raises(EngineError, match="70 billion weights: loading takes .* at most 33 billion") as caught:
        check("some/model", seventy, Plan(), gpu(80e9, gpus=8))
    assert "4 such GPUs" in str(caught.value), "168 GB in a power of two"
    assert check("some/model", seventy, Plan(sharing=8), gpu(80e9, gpus=8)) == ""
    rounded = replace(WHOLE, sharing=8, way="4bit")
    assert "takes about 86 GB" in check("some/model", seventy, rounded, gpu(80e9, gpus=8)), "43.1, 11.2, 17.5, a fifth"


def test_the_memory_of_this_machine_is_a_number() -> None:
    room = free()
    assert room.free > 1e8 and room.device and room.gpus == 0


def test_a_machine_that_does_not_tell_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unread(*_: object) -> str:
        raise OSError

    monkeypatch.setattr(memory.Path, "read_text", unread)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert check("some/model", SEVEN, WHOLE, free()) == ""


# ---- while it runs -----------------------------------------------------------------------------------------------
@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """A GPU of 80 GB with 20 GB free, of which this process holds 30, 10 of them unused; `card(LINES)`: the driver."""
    values = {
        **{"mem_get_info": (20e9, 80e9), "memory_reserved": 30e9, "memory_allocated": 20e9},
        **{"get_device_name": "H100", "get_device_properties": SimpleNamespace(uuid="u-1"), "empty_cache": None},
    }
    for name, value in values.items():
        monkeypatch.setattr(f"torch.cuda.{name}", lambda device=None, value=value: value)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def drive(lines: str) -> None:
        script = tmp_path / "nvidia-smi"
        script.write_text(f'#!/bin/sh\n[ "$1" = --id=GPU-u-1 ] || exit 1\ncat <<END\n{lines}END\n')
        script.chmod(0o755)

    return drive


def test_a_step_begins_only_where_there_is_memory_for_it(card: Callable[[str], None]) -> None:
    card(f"{os.getpid()}, python, 30000\n77, VLLM::EngineCore, 20000\n78, a, b, 10\n")
    ready("training", 30e9)
    with pytest.raises(
        EngineError, match=r"^training takes at least 31 GB and H100 has 30 GB of 80 GB free: "
    ) as error:
        ready("training", 31e9)
    assert "this process holds 30 GB" in str(error.value) and "\n" not in str(error.value)
    assert ", VLLM::EngineCore (process 77) 21 GB, a, b (process 78) 0.0 GB. End what" in str(error.value)


def test_what_is_done_with_is_given_back_before_a_step_is_refused(
    card: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    card("")
    monkeypatch.setattr(memory.gc, "collect", lambda: monkeypatch.setattr("torch.cuda.memory_allocated", lambda _: 5e9))
    ready("training", 45e9)
    with pytest.raises(EngineError, match="has 45 GB of 80 GB free"):
        ready("training", 46e9)


def test_weights_go_to_a_gpu_only_where_they_fit(
    card: Callable[[str], None], small_llama: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    plain, asked = torch.empty, list[tuple]()
    monkeypatch.setattr("torch.empty", lambda *size, **how: how == {"device": "cuda:1"} or plain(*size, **how))
    monkeypatch.setattr(memory, "ready", lambda *given: asked.append(given) or 1 / 0)
    folder = str(small_llama.build(tmp_path / "llama"))
    with pytest.raises(ZeroDivisionError):
        forward.load(folder, "cuda:1", "auto")
    [(what, size, device)] = asked
    assert (what, device) == (f"the model {folder}", "cuda:1")
    assert size == pytest.approx(need(Path(folder)).stored, rel=0.01), "buffers come on top"
    assert forward.load(folder, "cpu", "auto")[0].device.type == "cpu" and len(asked) == 1


@pytest.mark.long
def test_vllm_starts_only_where_its_share_is_free(card: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    card("")
    started = list[dict]()
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=lambda **how: started.append(how)))
    weights = Weights(path="m", base="m", rank=0, dtype="bfloat16", shape="s", tied=False)
    for gpu, share, wanted in ((True, 0.9, 0), (True, 0.3, 1), (False, 0.9, 2)):
        monkeypatch.setattr("torch.cuda.is_available", lambda gpu=gpu: gpu)
        process = Process({"gpu_memory_utilization": share}, 1)
        if wanted:
            process.load(weights, anew=True)
        else:
            with pytest.raises(
                EngineError, match="vLLM with its gpu_memory_utilization takes at least 72 GB and H100 has 30"
            ):
                process.load(weights, anew=True)
        assert len(started) == wanted


@pytest.mark.parametrize("lines", ["", "1, [Not Found], [N/A]\n", "4711, python, 40000\n", "no such GPU\n"])
def test_where_the_driver_does_not_tell_the_others_are_one_number(card: Callable[[str], None], lines: str) -> None:
    card(lines)
    assert memory.holders(None).endswith(", other processes 30 GB")


def test_without_the_driver_s_program_it_is_one_number_too(
    card: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert memory.holders(None).endswith(", other processes 30 GB")
