"""The estimate is worked out by hand here, and is an upper bound of what a run really does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from selfimprove import registry
from selfimprove.costs import NOTHING, Cost, Flow, Given
from selfimprove.interfaces import Acquisition
from selfimprove.loop.loop import Runner
from selfimprove.methods.controller.retry import LIMITS
from selfimprove.recipe import compose, cost
from selfimprove.recipe.cost import Estimate, acquired, estimate
from selfimprove.records import Prompt, Rollout
from selfimprove.report.pace import taken

COMMON = ("task=chain_sums", "rounds=5", "gate_problems=500", "sealed_problems=1000", "probe_problems=100")
CHAIN = ("acquisition=[seed_prompts,rejection_sampling]", "acquisition.seed_prompts.problems=500")
FORMS = 1 + 2 + 3 * 4 + 2
"""Policies that are examined at the gate: the start; it and the first candidate; three a round; two at the end."""
ANSWERS = 500 + 2 * 100
"""Of one policy: the gate problems and those of the two probes of chain_sums."""
AUDIT = 100 * 8


def price(*overrides: str) -> Estimate:
    return estimate(compose.load("quickstart", [*COMMON, *CHAIN, *overrides])[0])


def drawn(part: str, *overrides: str) -> int:
    return price(*overrides).parts[part].completions


def test_the_quickstart_by_hand() -> None:
    found = price("optimization.sft.max_steps=60")
    assert found.parts["data"] == Cost(completions=5 * 500 * 8, tokens=5 * 500 * 8 * 256)  # the tiny model's context
    assert found.parts["training"] == Cost(steps=5 * 60)
    assert found.parts["evaluation"].completions == FORMS * ANSWERS
    assert found.parts["audit"].completions == 6 * AUDIT
    assert found.parts["exam"].completions == 2 * (1000 + 200) + 200 * 16  # votes of the start beside
    assert found.run.completions == sum(part.completions for name, part in found.parts.items() if name != "start")
    assert found.bound and found.remarks == []


@pytest.mark.long
def test_what_is_acquired_says_how_many_completions_of_a_prompt_are_rewarded_together() -> None:
    assert acquired(compose.load("quickstart", CHAIN)[0]) == Flow(500 * 8, 500, 8)
    assert acquired(compose.load("dr_grpo")[0]).group == 1  # it draws while it trains
    assert acquired(compose.load("r_zero_two_models")[0]).group > 1  # of the solver's leg


def test_where_only_certified_policies_are_trained_from_two_are_examined() -> None:
    assert drawn("evaluation", "gate=always") == (1 + 2 * 5) * ANSWERS
    accepting = drawn("evaluation", "gate=paired_test", "gate.paired_test.accept_alpha=0.1")
    assert accepting == (1 + 2 + 3 * 4) * ANSWERS


def test_second_attempts_come_on_top_of_first_ones() -> None:
    """STaSC: four attempts and one more to each, which an estimate by option names took for one attempt each."""
    found = estimate(compose.load("stasc", ["rounds=1"])[0])
    assert found.parts["data"].completions == 500 * 4 * 2


@pytest.mark.parametrize(
    ("chain", "options", "expected"),
    [
        ("seed_prompts,tree_search", ["tree_search.iterations=6"], 500 * 3 * 6),
        (
            "seed_prompts,self_instruct,rejection_sampling",
            ["self_instruct.problems=300", "self_instruct.levels=[1,2,3,4,5,6,7]", "rejection_sampling.samples=4"],
            7 * 43 + (500 + 300) * 4,
        ),
        ("seed_prompts,code_and_tests", ["code_and_tests.samples=8", "code_and_tests.tests=4"], 500 * (8 + 4)),
        ("seed_prompts,debate", ["debate.agents=3", "debate.turns=4"], 500 * 3 * 4),
        ("seed_prompts,rejection_sampling,rationalize", [], 500 * 8 + 500),
        ("seed_prompts,rejection_sampling,verify_then_revise", [], 500 * 8 * 3),
        ("seed_prompts,rejection_sampling,reflect_retry", ["reflect_retry.samples=2"], 500 * 8 * (1 + 2 * 2)),
        ("seed_prompts,rejection_sampling,meta_judge", ["meta_judge.samples=3"], 500 * (8 + 8 * 3 + 3 * 2)),
        ("seed_prompts,role_pipeline", ["role_pipeline.samples=2"], 500 * (2 * 3 + 1)),
        ("seed_prompts,structured_paths", ["structured_paths.single=2", "structured_paths.picked=1"], 500 * (6 + 4)),
        (
            "seed_prompts,self_instruct,rejection_sampling",
            ["self_instruct.problems=300", "self_instruct.exemplars=8", "rejection_sampling.samples=1"],
            300 + 500 + 300,
        ),
        (
            "seed_prompts,evol_instruct,rejection_sampling",
            ["rejection_sampling.samples=1", "evol_instruct.depth=3", "evol_instruct.judged=true"],
            500 * 3 * 2 + 500 * 4,
        ),
        (
            "seed_prompts,cot_self_instruct,rejection_sampling",
            ["rejection_sampling.samples=1", "cot_self_instruct.problems=40"],
            40 * (1 + 16) + 40,
        ),
        (
            "seed_prompts,ladder_variants,rejection_sampling",
            ["rejection_sampling.samples=1", "ladder_variants.variants=3"],
            500 * (3 + 9) * 2 + 500,
        ),
        (
            "seed_prompts,attributed,rejection_sampling",
            ["rejection_sampling.samples=1", "attributed.problems=60", "attributed.attributes={a: [x, y], b: []}"],
            60 * 2 + 1,
        ),
        ("language_self_play", ["language_self_play.queries=30"], 30 * (1 + 8 * 2)),
        ("propose", ["propose.problems=100", "propose.samples=5", "propose.grade=true"], 100 * (1 + 5 + 1)),
    ],
)
def test_chains_by_hand(chain: str, options: list[str], expected: int) -> None:
    given = [f"acquisition.{option}" for option in options]
    seeds = ["acquisition.seed_prompts.problems=500"] if "seed_prompts" in chain else []
    made = compose.load("quickstart", ["rounds=1", "selection=[]", f"acquisition=[{chain}]", *seeds, *given])[0]
    assert estimate(made).parts["data"].completions == expected


@pytest.mark.long
def test_what_adds_up_over_rounds() -> None:
    spin = ("acquisition=[seed_prompts,opponent]", "selection=[]", "optimization=dpo")
    assert price(*spin, "optimization.dpo.num_train_epochs=2").parts["training"].steps == 63 * 2 + 4 * 125 * 2
    piled = ("optimization.sft.max_steps=-1", "optimization.sft.num_train_epochs=1", "optimization.sft.data=all_rounds")
    size = "optimization.sft.per_device_train_batch_size=16"
    assert price(*piled, size).parts["training"].steps == (1 + 2 + 3 + 4 + 5) * 4000 // 16
    growing = ("rounds=3", "optimization.sft.max_steps=100", "optimization.sft.max_steps_growth=2")
    assert price(*growing).parts["training"].steps == 100 + 200 + 400


@pytest.mark.long
def test_rows_that_trainings_draw_are_counted_with_what_rates_them() -> None:
    online = ("acquisition=seed_prompts", "selection=[]", "rounds=1")
    for name, draws in (("score", 10 * 8 * 2), ("pag", 10 * 8 * 3), ("ppo", 3 * 8), ("grpo", 10 * 8), ("rloo", 10 * 8)):
        found = price(*online, f"optimization={name}", f"optimization.{name}.max_steps=10").parts["training"]
        assert (found.completions, found.steps) == (draws, 10), name
    votes = ("reward=frozen_vote", "reward.frozen_vote.votes=4", "optimization=grpo", "optimization.grpo.max_steps=10")
    assert drawn("training", *online, *votes) == 10 * (8 + 4)  # one prompt of eight rows in each step
    redrawn = ("optimization=grpo", "optimization.grpo.max_steps=10", "optimization.grpo.redraw=2")
    assert drawn("training", *online, *redrawn) == 10 * 8 * 3
    passes = price(*online, "optimization=ppo", "optimization.ppo.num_generations=2").parts["training"]
    assert (passes.steps, passes.completions) == (4 * 500 * 2 // 8, 500 * 2)


@pytest.mark.long
def test_processes_that_train_together_share_the_steps_and_draw_together() -> None:
    together = [["launcher=accelerate", f"launcher.accelerate.processes={n}"] for n in (1, 2)]
    epochs = ("optimization.sft.max_steps=-1", "optimization.sft.num_train_epochs=2")
    epochs += ("optimization.sft.per_device_train_batch_size=8", "optimization.sft.data=newest")
    assert [price(*how, *epochs).run.steps for how in together] == [5 * 4000 * 2 // 8, 5 * 4000 * 2 // 16]
    online = ("acquisition=seed_prompts", "selection=[]", "optimization=grpo", "optimization.grpo.max_steps=10")
    assert [drawn("training", *how, *online) for how in together] == [5 * 10 * 8, 5 * 10 * 16]


def test_looks_at_the_weights_in_training_are_draws() -> None:
    looks = ("optimization.sft.max_steps=60", "optimization.sft.peak_every=20", "optimization.sft.peak_problems=50")
    assert drawn("training", *looks) == 5 * 4 * 50


def test_a_task_that_makes_as_many_as_are_wanted_gives_1500() -> None:
    assert drawn("data", "acquisition.seed_prompts.problems=null") == 5 * 1500 * 8


def test_voting_and_sampling_evaluations_multiply() -> None:
    given = ("refinement=self_consistency", "refinement.self_consistency.samples=16")
    given += ("evaluation=[accuracy,probes,pass_at_k]", "evaluation.pass_at_k.samples=16")
    assert drawn("evaluation", *given, "evaluation.pass_at_k.problems=200") == FORMS * (ANSWERS * 16 + 200 * 16)


@pytest.mark.long
def test_variants_of_audit_problems_are_drawn_and_not_rewarded() -> None:
    """More of them than audit problems are not asked for; a reward that draws is not asked about them."""
    assert price("variant_problems=25").parts["audit"] == Cost(completions=6 * 1000, tokens=6 * 1000 * 256)
    assert drawn("audit", "variant_problems=500") == 6 * 2 * AUDIT
    assert drawn("audit", "variant_problems=25", "reward=judge") == drawn("audit", "reward=judge") + 6 * 25 * 8


def test_an_acquisition_that_training_runs_again_is_paid_for() -> None:
    """Ten steps are one draw that the round has made, and at most nine more."""
    with_grpo = ("selection=[]", "optimization=roles_grpo", "optimization.roles_grpo.max_steps=10")
    assert price(*with_grpo).parts["training"] == Cost(
        completions=5 * 9 * 500 * 8, tokens=5 * 9 * 500 * 8 * 256, steps=5 * 10
    )


@pytest.mark.long
def test_a_judge_is_asked_about_each_sample_and_in_each_audit() -> None:
    plain, now, frozen = price(), price("reward=judge", "reward.judge.frozen=false"), price("reward=judge")
    asked = plain.parts["data"].completions * (1 + 3)
    assert now.parts["data"].completions == frozen.parts["data"].completions == asked
    assert frozen.parts["audit"].completions == 6 * AUDIT * (1 + 3)  # it has scored the audit: that is its form
    assert now.parts["audit"].completions == frozen.parts["audit"].completions + (1 + 4 * 2) * 3 * AUDIT
    assert price("reward=judge", "alarm=[]").parts["audit"] == frozen.parts["audit"]
    pairs = price("reward=pairwise_judge").parts["data"].completions
    assert pairs == 5 * 500 * (8 + 8 * 7)


def test_scores_are_counted() -> None:
    assert price("reward=self_certainty").parts["data"].scored == 5 * 4000
    assert price("reward=p_true").parts["data"].scored == 5 * 2 * 4000


def test_a_controller_that_may_turn_options_up_is_counted_and_named() -> None:
    turned = price("controller=retry", "optimization.sft.max_steps=60")
    assert turned.parts["training"].steps == 60 + 4 * round(60 * LIMITS["steps"])
    assert turned.parts["data"].completions == 500 * 8 * (1 + 4 * LIMITS["data"])
    [said] = turned.remarks
    assert "acquisition.seed_prompts.problems=2000" in said and "optimization.sft.max_steps=240" in said
    assert price("controller=retry", "autonomy=2", "optimization.sft.max_steps=60").remarks == []


def test_published_sizes_come_from_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = estimate(compose.load("gsm8k_rest_em", ["rounds=1", "acquisition.seed_prompts.problems=null"])[0])
    size = -(-7473 * 6 // 10)
    made = compose.load("gsm8k_rest_em", ["rounds=1"])[0].acquisition["rejection_sampling"]
    assert found.parts["data"].completions == size * made.samples  # pyright: ignore[reportAttributeAccessIssue]
    assert not found.bound and any("openai/gsm8k has about 4484" in said for said in found.remarks)


SHIPPED = [
    pytest.param(path.stem, marks=[pytest.mark.recipes, pytest.mark.share(number)])
    for number, path in enumerate(sorted(compose.shipped().glob("*.yaml")))
]


@pytest.mark.parametrize("name", ["rest_em", *SHIPPED])
def test_every_shipped_recipe_has_an_estimate(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = estimate(compose.load(name)[0])
    assert found.run.completions > 0 and found.run.steps > 0 and found.run.tokens >= found.run.completions


NAMED: dict[str, dict[str, Any]] = {"lm_eval": {"tasks": ["x"]}, "attributed": {"attributes": {"topic": ["x"]}}}
"""Options of methods that have no defaults for them."""


@pytest.mark.parametrize("slot", ["acquisition", "reward", "selection", "optimization", "evaluation", "refinement"])
def test_declarations_grow_with_what_comes_in(slot: str) -> None:
    for name in registry.names(slot):
        kind = registry.find(slot, name).method
        method = kind(**NAMED.get(name, {}))
        small, large = (
            Given(flow=Flow(n, n, 4), problems=lambda wanted, n=n: n, attempt=Cost(completions=1), probes=n)
            for n in (10, 1000)
        )
        assert method.cost(small).within(method.cost(large)), name
        if slot in ("acquisition", "selection"):
            assert method.gives(small).records <= method.gives(large).records, name


def test_a_method_that_declares_nothing_draws_nothing_and_gives_what_came() -> None:
    @dataclass
    class Marked(Acquisition):
        produces: ClassVar[Any] = Prompt

        def acquire(self, records: Any, context: Any) -> Any:
            return records

    given = Given(flow=Flow(7, 5, 2))
    assert (Marked().cost(given), Marked().gives(given)) == (NOTHING, Flow(7, 5, 2))


@pytest.mark.runs
def test_a_real_run_stays_within_the_estimate(make_run: Callable) -> None:
    chain = "[seed_prompts,rejection_sampling,rationalize]"
    folder, log = make_run(
        f"acquisition={chain}", "rounds=2", "evaluation=[accuracy,diversity]", "evaluation.diversity.samples=2"
    )
    runner = Runner(folder, log)
    said = estimate(runner.stored.recipe)
    runner.run()
    for name, part in taken(folder.root).items():
        assert part.cost.within(said.parts[name]), name
    noted = json.loads((folder.step(1, "acquisition") / "step.json").read_text())["counts"]
    assert 0 < noted["completions"] <= said.parts["data"].completions
    assert runner.stored.recipe.acquisition["rationalize"].produces is Rollout


@pytest.mark.parametrize("recipe", ["quickstart", "vstar", "meta_rewarding"])
def test_very_many_rounds_are_bounded_at_once(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    composed = compose.load(recipe, ["rounds=7"])[0]
    one_by_one = estimate(composed).parts
    monkeypatch.setattr(cost, "EXACT", 3)
    together = estimate(composed).parts
    assert all(found.within(together[name]) for name, found in one_by_one.items())
    if recipe == "quickstart":  # every round costs the same
        assert together == one_by_one
    composed.rounds = 10**9
    assert estimate(composed).parts["data"].completions >= 10**9


def test_steps_that_grow_beyond_all_numbers_are_counted_as_the_most_that_an_option_takes() -> None:
    grown = ["rounds=2000", "optimization.sft.max_steps=5", "optimization.sft.max_steps_growth=2"]
    assert 10**15 < estimate(compose.load("quickstart", grown)[0]).run.steps < 2001 * 10**15
