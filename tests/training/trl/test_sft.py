"""What is left out of TRL's supervised fine-tuning changes no bit of what is learned."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from selfimprove import training
from selfimprove.inference.rows import rows_of
from selfimprove.logs import Silent
from selfimprove.records import Checkpoint, Rollout
from selfimprove.training.model_io import load
from selfimprove.training.trl.sft import sft
from selfimprove.training.trl.trainer import configured


def by_trl(job: training.Job, rollouts: Sequence[Rollout], **options: Any) -> dict[str, Any]:
    """The weights after TRL's own trainer on the same tokens, with its own kind of data set."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    model, tokenizer = load(job.start)
    rows = [row for several in rows_of(tokenizer, rollouts) for row in several]
    given = [{"input_ids": row.ids, "labels": row.labels, "length": len(row.ids)} for row in rows]
    plain = {"dataset_kwargs": {"skip_prepare_dataset": True}, "max_length": None}
    trainer = SFTTrainer(
        model=model,
        args=configured(SFTConfig, job, model, **plain, **options),
        train_dataset=Dataset.from_list(given),
        processing_class=tokenizer,
    )
    trainer.train()
    return model.state_dict()


@pytest.mark.parametrize("loss_type", ["nll", "dft"])
def test_the_weights_are_those_of_trls_trainer_and_nothing_is_worked_out_for_a_log(
    loss_type: str, start: Checkpoint, rollouts: list[Rollout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import load_file

    utils: Any = importlib.import_module("trl.trainer.utils")
    plan = training.Schedule(
        learning_rate=1e-2, max_steps=3, per_device_train_batch_size=2, gradient_accumulation_steps=2
    )
    expected = by_trl(training.Job(start, tmp_path / "trl", plan, Silent()), rollouts, loss_type=loss_type)
    shapes, asked, plain = list[tuple[int, ...]](), set[tuple[str, ...]](), utils._ChunkedLogProbFunction.apply

    def apply(*given: Any) -> Any:
        asked.add(given[-1])
        shapes.append((given[5], given[1].shape[0]))
        return plain(*given)

    monkeypatch.setattr(utils._ChunkedLogProbFunction, "apply", apply)
    made = sft(training.Job(start, tmp_path / "ours", plan, Silent()), rollouts, loss_type=loss_type)
    found = load_file(Path(made.path) / "model.safetensors")
    assert all(torch.equal(found[name], expected[name]) for name in found) and len(found) > 5
    assert asked == {("log_probs",)}
    assert all(chunk == vocabulary < 32768 for chunk, vocabulary in shapes), "the buffer is as wide as the vocabulary"
