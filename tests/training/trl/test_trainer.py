"""What TRL is given: one device for a process, whatever else the machine has."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from selfimprove import training
from selfimprove.logs import Silent
from selfimprove.records import Checkpoint
from selfimprove.training.trl.trainer import arguments, configured

SMALL: Any = SimpleNamespace(num_parameters=lambda: 6, dtype=None)


def job(folder: Path, plan: training.Schedule) -> training.Job:
    return training.Job(Checkpoint(path="start"), folder, plan, Silent())


def test_a_process_that_sees_several_gpus_trains_on_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.state import AcceleratorState
    from transformers import TrainingArguments

    for name, said in (("is_available", True), ("is_bf16_supported", False), ("device_count", 4), ("set_device", None)):
        monkeypatch.setattr(f"torch.cuda.{name}", lambda *_, said=said: said)
    monkeypatch.setattr("selfimprove.inference.memory.ready", lambda *_: None)
    plain = TrainingArguments(output_dir=str(tmp_path), per_device_train_batch_size=8)
    assert (plain.n_gpu, plain.train_batch_size) == (4, 32), "what transformers makes of them"
    plan = training.Schedule(learning_rate=1.0, per_device_train_batch_size=8)
    made = configured(TrainingArguments, job(tmp_path, plan), SMALL, eval_steps=7)
    assert (made.n_gpu, made.train_batch_size, made.eval_steps) == (1, 8, 7)
    AcceleratorState._reset_state(reset_partial_state=True)  # it holds on to a GPU that is not there


def test_a_process_without_a_gpu_trains_on_the_cpu(tmp_path: Path) -> None:
    from transformers import TrainingArguments

    made = configured(TrainingArguments, job(tmp_path, training.Schedule(learning_rate=1.0)), SMALL)
    assert made.n_gpu == 0 and made.device.type == "cpu"


@pytest.mark.parametrize(("rank", "place"), [(None, 0), ("3", 3)])
def test_weights_in_4_bits_are_loaded_where_the_process_trains(
    start: Checkpoint, monkeypatch: pytest.MonkeyPatch, rank: str | None, place: int
) -> None:
    from transformers import AutoModelForCausalLM

    asked: list[dict[str, Any]] = []
    monkeypatch.setattr("selfimprove.training.model_io.quantization", lambda lora: "4 bits" if lora.r else None)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda path, **given: asked.append(given))
    monkeypatch.setenv("LOCAL_RANK", rank) if rank else monkeypatch.delenv("LOCAL_RANK", raising=False)
    training.load(start, training.Lora(r=2, load_in_4bit=True))
    training.load(start)
    assert [given["device_map"] for given in asked] == [{"": place}, None]


@pytest.mark.parametrize(
    ("changes", "rounded", "bytes_"),
    [({}, False, 96), ({"lora": training.Lora(r=2)}, False, 24), ({"lora": training.Lora(r=2)}, True, 0)],
)
def test_before_training_there_must_be_memory_for_weights_gradients_and_optimizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], rounded: bool, bytes_: int
) -> None:
    """Of six weights: 16 bytes each, 4 under an adapter, and none where they are on the GPU already."""
    asked: list[Any] = []
    for name, said in (("is_available", True), ("is_bf16_supported", False)):
        monkeypatch.setattr(f"torch.cuda.{name}", lambda said=said: said)
    monkeypatch.setattr("selfimprove.inference.memory.ready", lambda *given: asked.append(given))
    monkeypatch.setenv("LOCAL_RANK", "2")
    model = SimpleNamespace(num_parameters=lambda: 6, dtype=None, is_loaded_in_4bit=rounded)
    arguments(tmp_path, training.Schedule(learning_rate=1.0, **changes), model)
    assert asked == [("training", bytes_, 2)]
    (tmp_path / "fsdp.json").write_text("{}")
    spread = training.Schedule(learning_rate=1.0, fsdp_config=str(tmp_path / "fsdp.json"), **changes)
    arguments(tmp_path, spread, model)
    assert len(asked) == 1, "what one process of several takes is not known"
