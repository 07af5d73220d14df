"""The sizes of recipes for published models: what the papers and their code say, and what a step is never smaller than.

The recipes' own values are read; what stands under `bench:` is for the tiny model.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from selfimprove.recipe import compose

RECIPES: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(compose.shipped().glob("*.yaml"))
}


def trained(name: str) -> dict[str, Any]:
    """The options of the first optimization of a recipe that sets any; batches as the methods have them by default."""
    [options] = list((RECIPES[name].get("optimization") or {"": {}}).values())[:1]
    return {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "num_generations": 1, **options}


def rows(name: str) -> int:
    """Completions or pairs of an optimizer step."""
    options = trained(name)
    return options["per_device_train_batch_size"] * options["gradient_accumulation_steps"]


@pytest.mark.parametrize(
    ("name", "prompts", "each", "tokens"),
    [
        ("serl", 16, 16, 1024),  # wantbook-book/SeRL: rollout_batch_size, n_samples_per_prompt, generate_max_len
        ("intuitor", 128, 7, 3072),  # sunblaze-ucb/Intuitor: train_batch_size, rollout.n, max_response_length
        ("restrain", 32, 16, 2048),  # ours
        ("dte", 4, 4, 2048),  # ctrl-gaurav/Debate-Train-Evolve: batch_size times accumulation, group_size
    ],
)
def test_problems_and_samples_of_a_step(name: str, prompts: int, each: int, tokens: int) -> None:
    options = trained(name)
    assert (rows(name) / each, options["num_generations"], options["max_completion_length"]) == (prompts, each, tokens)


@pytest.mark.parametrize(("name", "pairs"), [("spin", 64), ("sppo", 64), ("rspo", 64), ("iterative_dpo", 16)])
def test_pairs_of_a_step(name: str, pairs: int) -> None:
    assert rows(name) == pairs


def test_iterative_dpo_makes_ten_pairs_and_samples_hotter_later() -> None:
    recipe = RECIPES["iterative_dpo"]
    assert recipe["selection"] == {"correct_vs_wrong": {"pairs": 10}} and recipe["rounds"] == 4
    assert recipe["acquisition"]["rejection_sampling"] == {"samples": 30, "temperature": 0.8}
    changes = recipe["controller"]["schedule"]["changes"]
    assert changes == [{"round": 3, "acquisition.rejection_sampling.temperature": 1.3}]


def test_the_constants_of_spin_in_each_round() -> None:
    """uclaml/SPIN, scripts/finetune*.sh: (learning rate, epochs, beta); a tenth of the steps is warm-up."""
    recipe, found = RECIPES["spin"], list[tuple[float, ...]]()
    options = trained("spin")
    for number in range(1, recipe["rounds"] + 1):
        for change in recipe["controller"]["schedule"]["changes"]:
            if change["round"] == number:
                options |= {key.rpartition(".")[2]: value for key, value in change.items() if key != "round"}
        found.append((float(options["learning_rate"]), options["num_train_epochs"], options["beta"]))
        pairs = recipe["acquisition"]["seed_prompts"]["problems"] * min(number, 2)
        steps = -(-pairs // rows("spin")) * options["num_train_epochs"]
        assert options["warmup_steps"] == pytest.approx(steps / 10, rel=0.01)
    assert found == [(5e-7, 3, 0.1), (5e-7, 3, 0.1), (1e-7, 6, 0.1), (1e-7, 6, 5.0)]


@pytest.mark.parametrize("name", sorted(name for name in RECIPES if trained(name)["num_generations"] > 1))
def test_no_recipe_learns_from_fewer_than_four_problems_a_step(name: str) -> None:
    assert rows(name) // trained(name)["num_generations"] >= 4


@pytest.mark.parametrize("name", sorted(name for name, recipe in RECIPES.items() if "bench" in recipe))
def test_the_bench_sets_both_numbers_of_a_batch(name: str) -> None:
    """Else a batch for a GPU and one for the tiny model multiply."""
    bench = (RECIPES[name]["bench"] or {}).get("optimization") or {}
    for method, options in (RECIPES[name].get("optimization") or {}).items():
        own = bench.get(method, {})
        if options.get("gradient_accumulation_steps", 1) > 1 and "per_device_train_batch_size" in own:
            assert "gradient_accumulation_steps" in own
