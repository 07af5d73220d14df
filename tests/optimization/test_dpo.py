"""`dpo`: where it starts and what its reference is; the loss itself is tested in test_training.py."""

import pytest

from selfimprove.errors import RecipeError
from selfimprove.optimization.dpo import Dpo
from selfimprove.records import Checkpoint


@pytest.mark.parametrize("restart", ["last", "base"])
@pytest.mark.parametrize("reference", ["start", "base"])
def test_start_and_reference(monkeypatch, make_context, restart, reference):
    calls = []

    def dpo(start, preferences, folder, schedule, log, **options):
        calls.append((start, options["reference"], options["beta"], options["loss_type"]))
        return Checkpoint(path=str(folder))

    monkeypatch.setattr("selfimprove.training.dpo", dpo)
    given = make_context()
    Dpo(restart=restart, reference=reference, beta=0.3).optimize([], given)
    start = given.start if restart == "base" else given.policy.checkpoint
    assert calls == [(start, given.start if reference == "base" else start, 0.3, ["sigmoid"])]


@pytest.mark.parametrize("options", [{"restart": "best"}, {"reference": "last"}])
def test_unknown_choices_are_refused(options):
    with pytest.raises(RecipeError):
        Dpo(**options)
