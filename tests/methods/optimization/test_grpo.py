"""`grpo`: what the reward is shown, what a group teaches, and what does not teach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, EngineError, RecipeError
from selfimprove.methods.optimization.grpo import Grpo
from selfimprove.methods.sampler.online_band import OnlineBand
from selfimprove.records import Prompt, Rollout

SHORT: dict[str, Any] = {
    "learning_rate": 1e-2,
    "lr_scheduler_type": "constant",
    "per_device_train_batch_size": 16,
    "num_generations": 4,
    "max_completion_length": 6,
}


def letters(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """A reward that anything can learn: the share of letters e."""
    return [replace(one, reward=one.text.count("e") / 6) for one in rollouts]


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


@pytest.mark.runs
def test_the_reward_rises_in_any_loss(setting: Callable, questions: list[Prompt]) -> None:
    for loss_type, level in (("dr_grpo", "token"), ("dapo", "token"), ("grpo", "sequence")):
        given = setting(loss_type, reward=letters)
        scale = "none" if loss_type == "dr_grpo" else "group"
        method = Grpo(**SHORT, max_steps=10, loss_type=loss_type, scale_rewards=scale, importance_sampling_level=level)
        method.optimize(questions, given)
        found = given.log.metrics
        assert found["train/reward_last"] > found["train/reward_first"] + 0.1
        assert (found["train/steps"], found["train/completions"]) == (10, 160)


def test_the_reward_sees_whole_groups_with_their_problems(setting: Callable, questions: list[Prompt]) -> None:
    batches: list[list[Rollout]] = []

    def watched(rollouts: Sequence[Rollout]) -> list[Rollout]:
        batches.append(list(rollouts))
        return letters(rollouts)

    given = setting(reward=watched)
    Grpo(**SHORT, num_train_epochs=1).optimize(questions, given)
    assert [len(batch) for batch in batches] == [16, 16, 16], "one call a batch, one batch for four of twelve prompts"
    groups = [batch[i : i + 4] for batch in batches for i in range(0, 16, 4)]
    assert all(len({one.prompt.key for one in group}) == 1 for group in groups)
    assert sorted(group[0].prompt.key for group in groups) == sorted(one.key for one in questions)
    assert all(one.prompt.answer == "8" for group in groups for one in group)
    assert {one.info["finish_reason"] for batch in batches for one in batch} <= {"stop", "length"}
    assert not any("<|" in one.text for batch in batches for one in batch)


def test_the_model_is_asked_the_prompts_that_the_engine_would_ask(
    setting: Callable, questions: list[Prompt], monkeypatch: pytest.MonkeyPatch, small: Any
) -> None:
    from trl.trainer.grpo_trainer import GRPOTrainer

    from selfimprove import training
    from selfimprove.inference.chat import prompt_ids

    asked: list[list[int]] = []
    plain = GRPOTrainer._generate_single_turn

    def spy(self: Any, prompt_ids: list[list[int]], *rest: Any, **named: Any) -> Any:
        asked.extend(prompt_ids)
        return plain(self, prompt_ids, *rest, **named)

    monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", spy)
    Grpo(**SHORT, max_steps=1).optimize(questions[:4], setting(reward=letters))
    tokenizer = training.load(small)[1]
    assert sorted(asked[::4]) == sorted(prompt_ids(tokenizer, one.prompt) for one in questions[:4])


def test_equal_scores_and_no_scores_teach_nothing(setting: Callable, questions: list[Prompt]) -> None:
    """Half of the problems give everybody the same score, the others nobody any: the weights stay as they are."""

    def useless(rollouts: Sequence[Rollout]) -> list[Rollout]:
        return [replace(one, reward=None if len(one.prompt.key) > 40 else 0.7) for one in rollouts]

    given = setting(reward=useless)
    Grpo(**SHORT, max_steps=3).optimize(questions, given)
    share = sum(len(one.key) > 40 for one in questions) / len(questions)
    assert given.log.metrics["train/equal_groups"] == 1.0
    assert given.log.metrics["train/unscored"] == pytest.approx(48 * share)
    assert weights(given.folder) == (Path(given.start.path) / "model.safetensors").read_bytes()


@pytest.mark.runs
def test_redraw_replaces_groups_with_equal_scores(setting: Callable, questions: list[Prompt]) -> None:
    """Only long problems tell good from bad; with redraw most groups are theirs."""

    def half(rollouts: Sequence[Rollout]) -> list[Rollout]:
        return [replace(one, reward=len(one.prompt.key) > 40 and float(i % 2)) for i, one in enumerate(rollouts)]

    shares = []
    for name, redraw in (("plain", 0), ("redrawn", 5)):
        given = setting(name, reward=half)
        Grpo(**SHORT, max_steps=3, redraw=redraw).optimize(questions, given)
        assert bool(given.log.metrics["train/redrawn_groups"]) is bool(redraw)
        assert given.log.metrics["train/completions"] == 48, "what was thrown away is not counted"
        shares.append(given.log.metrics["train/equal_groups"])
    assert shares[0] > 0.4 > shares[1]


@pytest.mark.runs
def test_the_seed_decides_the_bytes(setting: Callable, questions: list[Prompt]) -> None:
    made = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        given = setting(name, seed=seed, reward=letters)
        Grpo(**SHORT, max_steps=2, beta=0.1).optimize(questions, given)
        made[name] = weights(given.folder)
    assert made["a"] == made["b"] != made["c"]


def test_thoughts_are_closed_in_training_too(
    setting: Callable, questions: list[Prompt], thinker: Callable[..., Any]
) -> None:
    start, seen = thinker("opened", seed=5), list[Rollout]()

    def reward(rollouts: Sequence[Rollout]) -> list[Rollout]:
        seen.extend(rollouts)
        return letters(rollouts)

    given = setting(reward=reward)
    given = replace(given, start=start, policy=replace(given.policy, checkpoint=start))
    Grpo(**SHORT | {"max_completion_length": 12}, max_steps=1, thinking_budget=3).optimize(questions, given)
    thoughts = [one.completion[0].get("thinking", "") for one in seen]
    replies = [one for one in seen if one.text]
    assert len(seen) == 16 and len(replies) >= 12 and all(len(text) <= 3 * 8 for text in thoughts)
    assert given.log.metrics["train/completions"] == 16 and weights(given.folder)


def test_a_budget_for_thoughts_needs_our_own_decoder() -> None:
    for options in ({"use_vllm": True}, {"redraw": 1}):
        with pytest.raises(RecipeError, match=f"grpo.thinking_budget does not go with {next(iter(options))}"):
            Grpo(**SHORT, thinking_budget=3, **options)


class VllmInTraining:
    """What TRL asks of vLLM, answered by the weights in training with their own log-probabilities."""

    def __init__(self, model: Any, temperature: float, max_completion_length: int, **options: Any) -> None:
        self.model, self.temperature, self.length = model, temperature, max_completion_length
        self.options, self.synced = options, 0

    def sync_weights(self) -> None:
        self.synced += 1

    def generate(self, prompts: list[list[int]], images: None, num_generations: int, profiler: Any) -> tuple:
        import torch

        completions, logprobs = [], []
        with torch.no_grad():
            for prompt in prompts:
                ids, marks = list(prompt), []
                for _ in range(self.length):
                    line = (self.model(torch.tensor([ids])).logits[0, -1] / self.temperature).log_softmax(-1)
                    ids.append(int(torch.multinomial(line.exp(), 1)))
                    marks.append([float(line[ids[-1]])])
                completions.append(ids[len(prompt) :])
                logprobs.append(marks)
        return prompts, completions, logprobs, None


@pytest.mark.long
@pytest.mark.parametrize("redraw", [0, 1])
def test_vllm_draws_the_completions_where_it_is_asked_to(
    setting: Callable, questions: list[Prompt], monkeypatch: pytest.MonkeyPatch, redraw: int
) -> None:
    """Its log-probabilities are those of the completions that are trained on, also of those drawn again."""
    from trl.trainer import grpo_trainer

    made: list[VllmInTraining] = []

    def start(**options: Any) -> VllmInTraining:
        made.append(VllmInTraining(**options))
        return made[-1]

    monkeypatch.setattr(grpo_trainer, "VLLMGeneration", start)

    def equal(rollouts: Sequence[Rollout]) -> list[Rollout]:
        return [replace(one, reward=1.0) for one in rollouts]

    given = setting(reward=equal if redraw else letters)
    Grpo(**SHORT, max_steps=2, use_vllm=True, vllm_gpu_memory_utilization=0.2, redraw=redraw).optimize(questions, given)
    [vllm] = made
    assert (vllm.synced, vllm.options["mode"], vllm.options["gpu_memory_utilization"]) == (2, "colocate", 0.2)
    assert given.log.metrics["train/redrawn_groups"] == (8 if redraw else 0)
    assert 0 < given.log.metrics["train/vllm_difference"] < 1e-4


def test_vllm_in_training_is_looked_for_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Grpo(**SHORT).preflight() == []
    monkeypatch.setattr("selfimprove.inference.vllm_process._version", lambda package: "")
    said = r"^optimization\.grpo\.use_vllm needs vLLM .* it is not installed: pip install .*, or set use_vllm=false$"
    with pytest.raises(EngineError, match=said):
        Grpo(**SHORT, use_vllm=True).preflight()


@pytest.mark.parametrize(("rate", "steps"), [(1e30, 3), (float("inf"), 12)])
def test_divergence_saves_nothing(setting: Callable, questions: list[Prompt], rate: float, steps: int) -> None:
    given = setting(reward=letters)
    with pytest.raises(DataError, match=r"step \d+; nothing was saved"):
        Grpo(**{**SHORT, "learning_rate": rate}, max_steps=steps).optimize(questions, given)
    assert not list(given.folder.glob("model/*.safetensors"))


def test_too_few_prompts_are_refused(setting: Callable, questions: list[Prompt]) -> None:
    with pytest.raises(DataError, match="3 prompts are too few: one optimizer step of grpo takes 4"):
        Grpo(**SHORT).optimize(questions[:3], setting(reward=letters))


@pytest.mark.parametrize(
    "options",
    [
        *({"restart": "best"}, {"loss_type": "ppo"}, {"scale_rewards": "yes"}, {"reference": "last"}),
        *({"num_generations": 3}, {"importance_sampling_level": "word"}),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        Grpo(**options)


def test_a_sampler_chooses_the_prompts_and_groups_that_do_not_count_are_drawn_again(
    setting: Callable, questions: list[Prompt]
) -> None:
    calls: list[list[Rollout]] = []

    def watched(rollouts: Sequence[Rollout]) -> list[Rollout]:
        calls.append(list(rollouts))
        return [replace(one, reward=float(one.prompt.key == questions[5].key)) for one in rollouts]

    given = setting(reward=watched, sampler=OnlineBand(tries=2))
    Grpo(**SHORT, max_steps=2).optimize(questions, given)
    assert [len(call) for call in calls] == [16] * 6, "no group has rewards that differ, so each is drawn three times"
    drawn = [call[i].prompt.key for call in calls for i in range(0, 16, 4)]
    assert sorted(drawn) == sorted([one.key for one in questions] * 2), "two passes, each problem once in each"
    assert given.log.metrics["train/left_out_groups"] == 8 and given.log.metrics["train/unscored"] == 32
    assert given.log.metrics["train/chosen"] == 12
