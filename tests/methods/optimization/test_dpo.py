"""`dpo`: where it starts and what its reference is; the loss itself is tested in test_training.py."""

import math
from dataclasses import replace

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.optimization.dpo import Dpo
from selfimprove.methods.optimization.sft import Sft
from selfimprove.records import Checkpoint, Preference


@pytest.mark.parametrize("restart", ["last", "base"])
@pytest.mark.parametrize("reference", ["start", "base"])
def test_start_and_reference(monkeypatch, make_context, restart, reference):
    calls = []

    def dpo(job, preferences, **options):
        calls.append((job.start, job.reference, options["beta"], options["loss_type"]))
        return Checkpoint(path=str(job.folder))

    monkeypatch.setattr("selfimprove.training.dpo", dpo)
    given = make_context()
    Dpo(restart=restart, reference=reference, beta=0.3).optimize([], given)
    start = given.start if restart == "base" else given.policy.checkpoint
    assert calls == [(start, given.start if reference == "base" else start, 0.3, ["sigmoid"])]


@pytest.mark.parametrize("options", [{"restart": "best"}, {"reference": "last"}])
def test_unknown_choices_are_refused(options):
    with pytest.raises(RecipeError):
        Dpo(**options)


@pytest.mark.parametrize(
    ("loss_type", "beta", "loss"),
    [
        ("sigmoid", 0.1, math.log(2)),
        ("hinge", 0.1, 1.0),
        ("ipo", 0.1, 25.0),  # (1 / (2 * beta)) ** 2
        ("sppo_hard", 1.0, 0.5),
        ("discopop", 0.05, 0.5 * math.log(2) + 0.5),
    ],
)
def test_the_first_loss_against_the_model_itself(setting, couples, loss_type, beta, loss, one_step: dict):
    """All log-ratios are 0 at first, so each loss is a number that can be worked out."""
    given = setting()
    Dpo(loss_type=[loss_type], beta=beta, **one_step).optimize(couples, given)
    assert given.log.metrics["train/loss"] == pytest.approx(loss, rel=1e-4)


@pytest.mark.long
def test_completions_that_were_cut_off_are_not_taught_an_end(setting, small, cut, one_step: dict):
    """TRL's loss by its formula, of a policy that has moved away from the reference, which is round 0."""
    pairs, engine = [Preference.of(*sides) for sides in cut], Transformers()
    moved = Dpo(learning_rate=1e-3, max_steps=3).optimize(pairs, setting("moved"))
    gains = []
    for chosen, rejected in cut:
        (now, other_now), (first, other_first) = (engine.logprobs_of(one, [chosen, rejected]) for one in (moved, small))
        gains.append(sum(now) - sum(first) - sum(other_now) + sum(other_first))
    assert min(map(abs, gains)) > 0.1, "else the test shows nothing"
    given = setting("given")
    given = replace(given, policy=replace(given.policy, checkpoint=moved))
    Dpo(reference="base", beta=0.5, **one_step).optimize(pairs, given)
    wanted = sum(math.log1p(math.exp(-0.5 * gain)) for gain in gains) / 4
    assert given.log.metrics["train/loss"] == pytest.approx(wanted, abs=1e-3)


@pytest.mark.runs
def test_self_play_moves_the_model_to_the_reference_solutions(setting, couples, margins_of):
    """SPIN by either of its losses: pairs of a reference solution and another text."""
    for loss_type in ("sigmoid", "hinge"):
        trained = Dpo(loss_type=[loss_type], learning_rate=1e-3, max_steps=5).optimize(couples, setting(loss_type))
        assert all(new > old + 1 for new, old in zip(margins_of(couples, trained), margins_of(couples), strict=True))


@pytest.mark.runs
@pytest.mark.parametrize(("beta", "falls"), [(0.1, True), (5.0, False)])
def test_at_a_small_beta_both_likelihoods_fall(setting, couples, scores_of, beta, falls):
    """Both texts are known by heart. The slope lasts to 46 nats of margin at beta 0.1, at 5 it ends after one."""
    texts = [("what is 8, then?", "what is 9, then?"), ("the sum is 12", "the sum is 21"), ("so it is 7", "so it is 5")]
    pairs = [
        replace(
            pair,
            **{
                side: [{"role": "assistant", "content": text}]
                for side, text in zip(("chosen", "rejected"), own, strict=True)
            },
        )
        for pair, own in zip(couples, texts, strict=False)
    ]
    known = Sft(learning_rate=3e-3, max_steps=80).optimize(
        [side for pair in pairs for side in pair.sides], setting("sft")
    )
    given = setting("dpo")
    given = replace(given, policy=replace(given.policy, checkpoint=known))
    trained = Dpo(beta=beta, learning_rate=3e-4, max_steps=60, lr_scheduler_type="constant").optimize(pairs, given)
    chosen, rejected = (
        sum(sum(new) - sum(old) for new, old in zip(after, before, strict=True)) / 3
        for after, before in zip(scores_of(pairs, trained), scores_of(pairs, known), strict=True)
    )
    assert rejected < chosen - 1 and (chosen < -1 if falls else chosen > 0)
