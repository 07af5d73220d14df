"""The estimate is worked out by hand here, and is an upper bound of what a run really does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.loop.loop import Runner
from selfimprove.recipe import compose
from selfimprove.recipe.cost import estimate

COMMON = ("task=chain_sums", "rounds=5", "gate_problems=500", "sealed_problems=1000")
CHAIN = ("acquisition=[seed_prompts,rejection_sampling]", "acquisition.seed_prompts.problems=500")

AUDIT = 100 * 8 * 6
"""Samples for the alarms: of the start and of five candidates."""
PROBES = 2 * 100 * (18 + 2)
"""Answers to the two probes of chain_sums, with every gate form and the exam."""
VOTES = 200 * 16
"""Votes of the start in the exam."""


def cost(*overrides: str) -> Any:
    return estimate(compose.load("quickstart", [*COMMON, *CHAIN, *overrides])[0])


def test_the_quickstart_by_hand() -> None:
    price = cost("optimization.sft.max_steps=60")
    assert price.samples == 5 * 500 * 8
    assert (
        price.evaluations == 500 * (1 + 3 * 5 + 2) + AUDIT + PROBES + VOTES + 2 * 1000
    )  # one policy in round 0, three a round, two at the end
    assert price.tokens == (price.samples + price.evaluations) * 512
    assert price.steps == 5 * 60


def test_a_row_of_a_conversation_is_several_samples_and_updates_on_the_same_ones_draw_once() -> None:
    online = ("acquisition=seed_prompts", "selection=[]")
    said = {
        name: cost(*online, f"optimization={name}", f"optimization.{name}.max_steps=10") for name in ("score", "ppo")
    }
    assert said["score"].samples == 5 * 10 * 8 * 2
    assert said["ppo"].samples == math.ceil(5 * 10 * 8 / 4)
    passes = cost(*online, "optimization=ppo", "optimization.ppo.num_generations=2")
    assert (passes.steps, passes.samples) == (5 * 4 * 500 * 2 // 8, 5 * 500 * 2)


def test_processes_that_train_together_share_the_steps_and_draw_together() -> None:
    together = [["launcher=accelerate", f"launcher.accelerate.processes={n}"] for n in (1, 2)]
    epochs = ("optimization.sft.max_steps=-1", "optimization.sft.num_train_epochs=2")
    epochs += ("optimization.sft.per_device_train_batch_size=8",)
    assert [cost(*how, *epochs).steps for how in together] == [5 * 4000 * 2 // 8, 5 * 4000 * 2 // 16]
    online = ("acquisition=seed_prompts", "selection=[]", "optimization=grpo", "optimization.grpo.max_steps=10")
    assert [cost(*how, *online).samples for how in together] == [5 * 10 * 8, 5 * 10 * 16]


def test_epochs_become_steps() -> None:
    price = cost(
        "optimization.sft.max_steps=-1",
        "optimization.sft.num_train_epochs=3",
        "optimization.sft.per_device_train_batch_size=16",
        "optimization.sft.gradient_accumulation_steps=2",
    )
    assert price.steps == 5 * 375  # 4000 rollouts x 3 epochs / 32 rows


def test_growing_steps_are_counted_as_they_grow() -> None:
    price = cost("rounds=3", "optimization.sft.max_steps=100", "optimization.sft.max_steps_growth=2")
    assert price.steps == 100 + 200 + 400


def test_a_task_of_unknown_size_counts_as_1500_problems() -> None:
    assert cost("acquisition.seed_prompts.problems=null").samples == 5 * 1500 * 8


def test_a_search_counts_its_iterations_and_written_problems_are_solved_too() -> None:
    def drawn(chain: str, *options: str) -> int:
        return cost(f"acquisition=[{chain}]", "rounds=1", "acquisition.seed_prompts.problems=500", *options).samples

    assert drawn("seed_prompts,tree_search", "acquisition.tree_search.iterations=6") == 500 * 3 * 6
    written = ("acquisition.self_instruct.problems=300", "acquisition.rejection_sampling.samples=4")
    assert drawn("seed_prompts,self_instruct,rejection_sampling", *written) == (500 + 300) * 4
    tests = ("acquisition.code_and_tests.samples=8", "acquisition.code_and_tests.tests=4")
    assert drawn("seed_prompts,code_and_tests", *tests) == 500 * (8 + 4)


def test_voting_and_sampling_evaluations_multiply() -> None:
    price = cost(
        "refinement=self_consistency",
        "refinement.self_consistency.samples=16",
        "evaluation=[accuracy,pass_at_k]",
        "evaluation.pass_at_k.samples=16",
        "evaluation.pass_at_k.problems=200",
    )
    assert price.evaluations == (500 * 16 + 200 * 16) * 18 + AUDIT + PROBES * 16 + VOTES + 2 * (1000 * 16 + 200 * 16)


def test_a_judge_is_asked_about_each_sample_and_in_each_audit() -> None:
    plain, now, frozen = cost(), cost("reward=judge", "reward.judge.frozen=false"), cost("reward=judge")
    assert now.samples == frozen.samples == plain.samples * (1 + 3)
    assert frozen.evaluations == plain.evaluations + 3 * AUDIT  # it has scored the audit: that is its form
    assert now.evaluations == plain.evaluations + 3 * 100 * 8 * (1 + 5 * 3)  # besides: the candidate and the start
    silent = cost("reward=judge", "alarm=[]")
    assert silent.evaluations == frozen.evaluations


def test_the_sealed_exam_has_its_own_number_of_problems() -> None:
    price = cost("evaluation=[accuracy,pass_at_k]", "evaluation.pass_at_k.problems=200", "gate_problems=100")
    assert price.evaluations == (100 + 100 * 16) * 18 + AUDIT + PROBES + VOTES + 2 * (1000 + 200 * 16)


def test_a_limit_of_the_sampler_beyond_that_of_the_engine_counts() -> None:
    price = cost("acquisition.rejection_sampling.max_completion_length=2000")
    assert price.tokens == (price.samples + price.evaluations) * 2000


def test_a_trainer_without_a_step_limit_leaves_it_open(make_run: Callable) -> None:
    folder, _ = make_run()
    assert estimate(compose.load(folder.root / "recipe.yaml")[0]).steps is None


@pytest.mark.runs
def test_a_real_run_stays_within_the_estimate(make_run: Callable) -> None:
    chain = "[seed_prompts,rejection_sampling,rationalize]"
    folder, log = make_run(f"acquisition={chain}", "evaluation=[accuracy,diversity]", "evaluation.diversity.samples=2")
    runner = Runner(folder, log)
    price, drawn = estimate(runner.stored.recipe), 0
    engine = runner.stored.recipe.the("engine")
    sample = engine.sample

    def count(checkpoint: Any, prompts: Any, n: int, *rest: Any) -> Any:
        nonlocal drawn
        drawn += len(prompts) * n
        return sample(checkpoint, prompts, n, *rest)

    engine.sample = count
    runner.run()
    assert 0 < drawn <= price.samples + price.evaluations


def test_an_optimization_that_samples_as_it_trains_draws_a_batch_a_step() -> None:
    price = estimate(compose.load("dr_grpo", ["rounds=2", "optimization.grpo.max_steps=30"])[0])
    assert (price.samples, price.steps) == (2 * 30 * 128, 60)
    epochs = ["optimization.grpo.max_steps=-1", "optimization.grpo.num_train_epochs=2"]
    price = estimate(compose.load("dr_grpo", ["rounds=1", *epochs])[0])
    assert price.steps == math.ceil(500 * 8 * 2 / 128) and price.samples == price.steps * 128
