"""What training leaves behind: a folder that differs from the published one in its weights, and in nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfimprove import training
from selfimprove.interfaces import GREEDY
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.safety.weight_files import tensors_of
from selfimprove.training.companions import NAMES

ASKED = Prompt(prompt=[{"role": "user", "content": "What is 3 + 5?"}], key="3+5")


@pytest.fixture
def trained(published: Any, tmp_path: Path, quiet_log: Any) -> Path:
    """The model after one step of SFT."""
    schedule = training.Schedule(learning_rate=1e-3, max_steps=1, per_device_train_batch_size=2)
    completion = [{"role": "assistant", "content": "It is 8."}]
    rows = [Rollout(prompt=ASKED, completion=completion, info={"finish_reason": "stop"})] * 2
    job = training.Job(Checkpoint(path=str(published.folder)), tmp_path / "model", schedule, quiet_log)
    return Path(training.sft(job, rows).path)


def test_a_trained_model_has_the_files_of_its_start_and_samples(published: Any, trained: Path, quiet_log: Any) -> None:
    before, after = tensors_of(published.folder), tensors_of(trained)
    assert {name: one.shape for name, one in after.items()} == {name: one.shape for name, one in before.items()}
    assert {one.dtype for one in after.values()} == {"F32"}
    for path in published.folder.iterdir():
        if path.name in NAMES:
            assert (trained / path.name).read_bytes() == path.read_bytes(), path.name
    assert (
        "router" not in (trained / "config.json").read_text()
        or "router" in (published.folder / "config.json").read_text()
    )
    engine = Transformers(max_completion_length=4)
    [[drawn]] = engine.sample(Checkpoint(path=str(trained)), [ASKED], 1, GREEDY, 0, quiet_log)
    assert drawn.logprobs and drawn.logprobs["count"] > 0


@pytest.mark.only("qwen3_moe")
def test_a_champion_of_before_whose_config_asks_for_the_routers_logits_samples(
    published: Any, trained: Path, quiet_log: Any
) -> None:
    config = trained / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "output_router_logits": True}))
    engine = Transformers(max_completion_length=4)
    [[drawn]] = engine.sample(Checkpoint(path=str(trained)), [ASKED], 1, GREEDY, 0, quiet_log)
    assert drawn.logprobs and drawn.logprobs["count"] > 0
