"""Adapters: nothing at the start, a low-rank update in the end, whole weights on disk."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from selfimprove import training
from selfimprove.errors import EngineError, MissingError, RecipeError
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.optimization.grpo import Grpo
from selfimprove.recipe.compose import load
from selfimprove.records import Checkpoint
from selfimprove.training.lora import adapter, merged
from selfimprove.training.trl.trainer import _gathered

LORA = training.Lora(r=2, alpha=8)


def plan(**changes: Any) -> training.Schedule:
    values = {"learning_rate": 2e-2, "max_steps": 10, "lr_scheduler_type": "constant", "per_device_train_batch_size": 4}
    return training.Schedule(**{**values, "lora": LORA, **changes})


def tensors(checkpoint: Checkpoint) -> dict[str, Any]:
    return dict(training.load(checkpoint)[0].state_dict())


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(bool((one[name] == other[name]).all()) for name in one)


@pytest.mark.runs
def test_an_untrained_adapter_changes_nothing(start, rollouts, couples, tmp_path, quiet_log) -> None:
    idle, how = plan(learning_rate=0.0, max_steps=2), {"loss_type": ["sigmoid"], "loss_weights": None, "beta": 0.1}
    made = [
        training.sft(training.Job(start, tmp_path / "sft", idle, quiet_log), rollouts),
        training.sft(training.Job(start, tmp_path / "weighted", idle, quiet_log), rollouts, weights=[1.0, 2.0, 3.0]),
        training.dpo(training.Job(start, tmp_path / "dpo", idle, quiet_log, start), couples, **how),
        training.kto(training.Job(start, tmp_path / "kto", idle, quiet_log, start), rollouts, [True, False, True]),
    ]
    assert all(same(tensors(one), tensors(start)) for one in made)


def test_what_is_trained_is_an_update_of_that_rank_and_saved_as_whole_weights(
    start, rollouts, tmp_path, quiet_log
) -> None:
    import torch

    made = training.sft(training.Job(start, tmp_path / "out", plan(), quiet_log), rollouts)
    old, new = tensors(start), tensors(made)
    assert old.keys() == new.keys() and not list(Path(made.path).glob("adapter*"))
    ranks = {name: int(torch.linalg.matrix_rank(new[name] - old[name], rtol=1e-3)) for name in old if "proj" in name}
    assert set(ranks.values()) == {2} and len(ranks) == 14, "seven layers in each of two blocks"
    assert all(bool((new[name] == old[name]).all()) for name in old if "proj" not in name)
    before, after = (sum(map(sum, Transformers().logprobs_of(one, rollouts))) for one in (start, made))
    assert after > before + 5


def test_only_the_layers_that_are_named_get_an_adapter(start, rollouts, tmp_path, quiet_log) -> None:
    lora = replace(LORA, target_modules=["q_proj"])
    made = training.sft(training.Job(start, tmp_path / "out", plan(lora=lora, max_steps=2), quiet_log), rollouts)
    old, new = tensors(start), tensors(made)
    assert {name.split(".")[-2] for name in old if not bool((new[name] == old[name]).all())} == {"q_proj"}


@pytest.mark.slow
def test_the_seed_decides_the_adapter_whatever_was_drawn_before(start, rollouts, tmp_path, quiet_log) -> None:
    import torch

    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.rand(len(made))
        made.append(
            tensors(
                training.sft(training.Job(start, tmp_path / name, plan(seed=seed, max_steps=2), quiet_log), rollouts)
            )
        )
    assert same(made[0], made[1]) and not same(made[0], made[2])


def test_an_adapter_of_rounded_weights_goes_onto_the_full_ones(start) -> None:
    import peft
    import torch

    base = training.load(start)[0]
    model = peft.get_peft_model(copy.deepcopy(base), adapter(LORA, 0))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_() if "lora_B" in name else weight.mul_(1 if "lora_A" in name else 0)
    onto = merged(model, copy.deepcopy(base)).state_dict()
    left = merged(model).state_dict()  # the weights themselves are 0 here: what is left is the update
    assert all(torch.allclose(onto[name], base.state_dict()[name] + left[name]) for name in onto)
    assert any(bool(left[name].any()) for name in left)


@pytest.mark.runs
def test_without_its_adapter_the_model_is_its_own_reference(start, couples, tmp_path, quiet_log) -> None:
    """With a loss of ours and with TRL's: the first margin is 0 and no second model is loaded, later it is not 0."""
    margins = []

    def loss(batch: training.Pairs) -> Any:
        gains = batch.chosen - batch.chosen_reference - batch.rejected + batch.rejected_reference
        margins.append(float(gains.detach().abs().max()))
        return -gains

    training.pairs(training.Job(start, tmp_path / "own", plan(max_steps=3), quiet_log, start), couples, loss)
    assert margins[0] == pytest.approx(0, abs=1e-4) and margins[2] > 0.01
    how = {"loss_type": ["sigmoid"], "loss_weights": None, "beta": 0.1}
    training.dpo(training.Job(start, tmp_path / "trl", plan(learning_rate=0.0), quiet_log, start), couples, **how)
    assert quiet_log.metrics["train/loss"] == pytest.approx(math.log(2), abs=1e-4)


@pytest.mark.runs
def test_a_policy_gradient_trains_an_adapter(start, make_context: Callable, make_policy: Callable, rollouts) -> None:
    given = make_context(policy=make_policy(checkpoint=start), start=start)
    given = replace(given, reward=lambda drawn: [replace(one, reward=one.text.count("e") / 6) for one in drawn])
    prompts = [one.prompt for one in rollouts] * 2
    method = Grpo(
        learning_rate=5e-2,
        max_steps=8,
        lr_scheduler_type="constant",
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=6,
        beta=0.01,
        lora=LORA,
    )
    made = method.optimize(prompts, given)
    assert not same(tensors(made), tensors(start))
    assert given.log.metrics["train/kl"] > 0
    assert given.log.metrics["train/reward_last"] > given.log.metrics["train/reward_first"]


def test_a_reference_that_the_adapter_does_not_hide_is_refused() -> None:
    with pytest.raises(RecipeError, match="with lora the reference is the model without its adapter"):
        Grpo(lora=LORA, reference="base")
    Grpo(lora=LORA, reference="base", restart="base")


@pytest.mark.runs
def test_the_peak_of_an_adapter_is_kept(start, rollouts, tmp_path, quiet_log) -> None:
    peak = training.Peak(lambda step, _: 1.0 - abs(step - 2) / 100, n=10)
    kept = training.sft(
        training.Job(start, tmp_path / "a", plan(max_steps=6), quiet_log), rollouts, peak, check_every=2
    )
    plain = training.sft(training.Job(start, tmp_path / "b", plan(max_steps=2), quiet_log), rollouts)
    assert same(tensors(kept), tensors(plain))


@pytest.mark.runs
def test_a_model_in_training_can_be_saved_and_trains_on(start, rollouts, tmp_path, quiet_log) -> None:
    tokenizer, looks = training.load(start)[1], []

    def look(step: int, model: Any) -> bool:
        looks.append(training.save(model, tokenizer, tmp_path / str(step)))
        return False

    end = training.sft(training.Job(start, tmp_path / "a", plan(max_steps=4), quiet_log), rollouts, look, check_every=2)
    plain = training.sft(training.Job(start, tmp_path / "b", plan(max_steps=4), quiet_log), rollouts)
    assert same(tensors(end), tensors(plain)) and same(tensors(looks[1]), tensors(end))
    assert not same(tensors(looks[0]), tensors(start)) and not same(tensors(looks[0]), tensors(end))


def test_four_bits_without_a_gpu_are_refused(start, rollouts, tmp_path, quiet_log, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(EngineError, match="load_in_4bit needs a CUDA GPU"):
        training.sft(training.Job(start, tmp_path, plan(lora=replace(LORA, load_in_4bit=True)), quiet_log), rollouts)


def test_a_recipe_sets_the_parts_of_an_adapter() -> None:
    recipe, _ = load("quickstart", ["optimization.sft.lora.r=8", "optimization.sft.lora.target_modules=[q_proj]"])
    assert recipe.the("optimization").lora == training.Lora(r=8, target_modules=["q_proj"])
    with pytest.raises(RecipeError, match="'x' not in 'Lora'"):
        load("quickstart", ["optimization.sft.lora={r: 8, x: 1}"])
    for wrong in ({"r": -1}, {"alpha": 0}, {"dropout": 1.0}):
        with pytest.raises(RecipeError, match="lora takes"):
            training.Lora(**wrong)


@pytest.mark.slow
def test_activations_that_are_computed_twice_change_no_bit_and_bfloat16_little(
    start, rollouts, tmp_path, quiet_log
) -> None:
    whole = training.Lora()
    made = {
        name: tensors(
            training.sft(
                training.Job(start, tmp_path / name, plan(lora=whole, max_steps=3, **how), quiet_log), rollouts
            )
        )
        for name, how in (("plain", {}), ("twice", {"gradient_checkpointing": True}), ("coarse", {"bf16": True}))
    }
    assert same(made["plain"], made["twice"])
    assert not same(made["plain"], made["coarse"])
    old = tensors(start)
    gap = max(float((made["plain"][name] - made["coarse"][name]).norm()) for name in old if "proj" in name)
    moved = min(float((made["plain"][name] - old[name]).norm()) for name in old if "proj" in name)
    assert gap < moved


@pytest.mark.parametrize("name", ["fsdp_config", "deepspeed"])
def test_a_config_file_that_is_not_there_is_named(start, rollouts, tmp_path, quiet_log, name) -> None:
    with pytest.raises(MissingError, match=f"{name} names nowhere.json"):
        training.sft(training.Job(start, tmp_path, plan(**{name: "nowhere.json"}), quiet_log), rollouts)


@pytest.mark.parametrize("lora", [training.Lora(), LORA], ids=["whole", "adapter"])
def test_weights_that_were_spread_over_processes_are_put_together(start, lora) -> None:
    """The trainer pretends: its own model is empty, its accelerator hands out the weights to the first process."""
    import peft
    import torch

    model = training.load(start)[0]
    if lora.r:
        model = peft.get_peft_model(model, adapter(lora, 0))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) / 100)
    trainer: Any = SimpleNamespace(model=model, is_fsdp_enabled=True, is_deepspeed_enabled=False)
    trainer.accelerator = SimpleNamespace(is_main_process=True, get_state_dict=lambda given: dict(given.state_dict()))
    made = _gathered(trainer, start)
    assert made is not model and same(merged(made).state_dict(), merged(model).state_dict())
    trainer.accelerator.is_main_process = False
    assert _gathered(trainer, start) is model
