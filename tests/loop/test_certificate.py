"""An engine's certificate is asked for once, on blind problems, and read back; one that has none writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from selfimprove.errors import DataError
from selfimprove.loop.certificate import FILE, certificate_of, certify
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.problems.splits import split_of
from selfimprove.records import Prompt

FOUND = {
    **{"engine": "vllm 0.1", "dtype": "bfloat16", "prompts": 3, "same_texts": 2, "tokens": 30, "same_tokens": 28},
    **{"mean_difference": 0.01, "largest_difference": 0.25},
}


class Certified:
    """An engine that looks at three problems."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.found, self.asked = found, list[Prompt]()

    def certificate(self, checkpoint: Any, problems: Callable[[int], Sequence[Prompt]], log: Any) -> dict[str, Any]:
        assert checkpoint.path == "weights"
        self.asked += problems(3)
        return self.found


def stored(engine: Certified, step: Path) -> Any:
    parts = {"task": ChainSums(), "engine": engine}
    folder = SimpleNamespace(step=lambda number, stage: step, root=step.parent)
    return SimpleNamespace(recipe=SimpleNamespace(the=parts.__getitem__), seed=lambda name: len(name), folder=folder)


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from selfimprove.loop import certificate
    from selfimprove.records import Checkpoint

    monkeypatch.setattr(certificate, "read_checkpoint", lambda folder: Checkpoint(path="weights"))
    made = tmp_path / "model"
    made.mkdir()
    return made


def test_it_is_kept_with_the_weights_and_told(step: Path, quiet_log: Any) -> None:
    engine = Certified(FOUND)
    run = stored(engine, step)
    certify(run, step, quiet_log)
    assert json.loads((step / FILE).read_text()) == certificate_of(run) == FOUND
    assert any("2 greedy texts equal, 28 of 30 tokens" in note for note in quiet_log.notes)
    assert len(engine.asked) == 3 and all(one.answer is None for one in engine.asked)
    assert {split_of(one.key) for one in engine.asked} == {"selection"}


def test_an_engine_without_one_writes_nothing(step: Path, quiet_log: Any) -> None:
    run = stored(Certified({}), step)
    certify(run, step, quiet_log)
    assert not (step / FILE).exists() and certificate_of(run) == {}


def test_one_that_is_damaged_says_what_to_do(step: Path) -> None:
    run = stored(Certified({}), step)
    (step / FILE).write_text(json.dumps({**FOUND, "tokens": "many"}))
    with pytest.raises(DataError, match="Redo it: selfimprove resume"):
        certificate_of(run)
