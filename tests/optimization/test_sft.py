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

    def sft(start, rows, folder, schedule, log, *peak, **options):
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


@pytest.mark.parametrize("options", [{"restart": "best"}, {"data": "some"}, {"loss_type": "mse"}])
def test_unknown_choices_are_refused(options):
    with pytest.raises(RecipeError):
        Sft(**options)


def test_dft_multiplies_the_loss_of_a_token_by_its_probability(setting, questions, say, small):
    """Of -log p and -p log p: at a learning rate of 0 both losses follow from the scores of the engine."""
    import math

    from selfimprove.engine.transformers import Transformers

    rows = [say(prompt, f"Answer: {place}.") for place, prompt in enumerate(questions[:4])]
    scores = [score for one in Transformers().score(small, rows) for score in one]
    wanted = {"nll": -sum(scores), "dft": -sum(score * math.exp(score) for score in scores)}
    for loss_type, total in wanted.items():
        given = setting(loss_type)
        Sft(loss_type=loss_type, learning_rate=0.0, max_steps=10).optimize(rows, given)
        assert given.log.metrics["train/loss"] == pytest.approx(total / len(scores), abs=1e-3)
