"""`sft`: what it trains on and from where; the training itself is tested in test_training.py."""

from dataclasses import replace
from pathlib import Path

import pytest

from selfimprove.errors import RecipeError
from selfimprove.optimization.sft import Sft
from selfimprove.records import Checkpoint, write_records


@pytest.fixture
def trained(monkeypatch):
    """Records the calls to the trainer instead of training."""
    calls = []

    def sft(start, rows, folder, schedule, log):
        calls.append((start, list(rows), schedule))
        return Checkpoint(path=str(folder))

    monkeypatch.setattr("selfimprove.training.sft", sft)
    return calls


def test_restart_and_data(trained, make_context, make_rollout, tmp_path):
    old, new = make_rollout(text="old"), make_rollout(text="new")
    before = tmp_path / "before"
    before.mkdir()
    write_records(before / "data.jsonl", [old])
    given = replace(make_context(), previous=before)
    Path(given.folder).mkdir(parents=True, exist_ok=True)
    Sft(restart="base", data="newest").optimize([new], given)
    Sft(restart="last", data="all_rounds").optimize([new], given)
    assert trained[0][:2] == (given.start, [new])
    assert trained[1][:2] == (given.policy.checkpoint, [old, new])


def test_star_s_growth_of_steps(trained, make_context, make_rollout):
    given = replace(make_context(), round=3)
    Sft(max_steps=40, max_steps_growth=1.2).optimize([make_rollout(text="x")], given)
    assert trained[0][2].max_steps == round(40 * 1.2**2)


@pytest.mark.parametrize("options", [{"restart": "best"}, {"data": "some"}])
def test_unknown_choices_are_refused(options):
    with pytest.raises(RecipeError):
        Sft(**options)
