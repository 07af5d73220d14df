"""Every shipped recipe composes, and runs one round for real on the tiny model."""

import itertools
import json
import os
from pathlib import Path

import pytest
import yaml

from selfimprove.loop.begin import create
from selfimprove.loop.loop import Runner
from selfimprove.recipe import compose
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import signed

NAMES = sorted(path.stem for path in compose.shipped().glob("*.yaml"))
REAL = {name for name in NAMES if "- model: pretrained" in (compose.shipped() / f"{name}.yaml").read_text()}
"""Recipes for a real model and real data; test_real_recipes.py runs them."""
QUICK = ("quickstart",)
"""These are composed in the quick suite; the others have the marker `recipes`."""
ALL = [
    name if name in QUICK else pytest.param(name, marks=[pytest.mark.recipes, pytest.mark.share(number)])
    for number, name in enumerate(NAMES)
]
"""What needs no model is tried of a fourth of them in CI."""
SIDE_BY_SIDE = ("task", "acquisition", "reward", "selection", "optimization")
"""The slots whose methods hand records to each other, in this order."""


def held(recipe: dict[str, list[str]]) -> set[tuple[str, ...]]:
    """Every method of a recipe, and every two that follow each other on the way of the records."""
    methods = {(slot, name) for slot, names in recipe.items() for name in names}
    line = [f"{slot} {name}" for slot in SIDE_BY_SIDE for name in recipe.get(slot, ())]
    return methods | {*itertools.pairwise(line)}


def cover(recipes: dict[str, dict[str, list[str]]]) -> list[str]:
    """Recipes that hold whatever any recipe holds, few of them: again and again the one that adds most."""
    left, chosen = set().union(*map(held, recipes.values())), list[str]()
    while left:
        best = max(sorted(recipes), key=lambda name: len(held(recipes[name]) & left))
        left -= held(recipes[best])
        chosen.append(best)
    for name in chosen[::-1]:  # what those that came later hold as well
        others = [other for other in chosen if other != name]
        if held(recipes[name]) <= set().union(*(held(recipes[other]) for other in others)):
            chosen = others
    return chosen


def named(name: str) -> dict[str, list[str]]:
    """The methods that the defaults of a recipe name, for each slot."""
    defaults = yaml.safe_load((compose.shipped() / f"{name}.yaml").read_text())["defaults"]
    lines = [line for line in defaults if isinstance(line, dict)]
    return {slot: [names] if isinstance(names, str) else names or [] for line in lines for slot, names in line.items()}


TINY = {name: named(name) for name in NAMES if name not in REAL}
ALWAYS = cover(TINY)
"""In CI one round of these is always run, of the others of a fourth, which rotates."""


def marks(name: str) -> list[pytest.MarkDecorator]:
    if name in QUICK:
        return [pytest.mark.long]
    others = [other for other in TINY if other not in ALWAYS and other not in QUICK]
    return [pytest.mark.recipes, *([pytest.mark.share(others.index(name))] if name in others else [])]


ROUNDS = [pytest.param(name, marks=marks(name)) for name in TINY]
SMALLER = {
    "rounds": 1,
    "gate_problems": 12,
    "sealed_problems": 12,
    "control_problems": 4,
    "control_samples": 2,
    "probe_problems": 8,
    "audit_problems": 20,
    "audit_samples": 4,
    "model.tiny.probes": 8,
    "engine.transformers.max_completion_length": 24,
    "acquisition.seed_prompts.problems": 12,
    "acquisition.rejection_sampling.samples": 4,
    "acquisition.propose.problems": 12,
    "acquisition.self_instruct.problems": 12,
    "acquisition.language_self_play.queries": 12,
    "acquisition.documents.problems": 12,
    "acquisition.worked_corpus.documents": 60,
    "acquisition.planted.problems": 60,
    "acquisition.self_play.games": 24,
    "acquisition.tree_search.iterations": 2,
    "acquisition.role_pipeline.samples": 2,
    "acquisition.meta_judge.samples": 2,
    "optimization.sft.max_steps": 2,
    "optimization.dpo.max_steps": 2,
    "optimization.sft.per_device_train_batch_size": 4,
    "optimization.dpo.per_device_train_batch_size": 4,
    "optimization.grpo.max_steps": 2,
    "optimization.grpo.num_generations": 4,
    "optimization.grpo.per_device_train_batch_size": 8,
    "optimization.grpo.max_completion_length": 24,
    "optimization.dnpo.max_steps": 2,
    "optimization.dnpo.per_device_train_batch_size": 4,
    "optimization.sppo.max_steps": 2,
    "optimization.sppo.per_device_train_batch_size": 4,
    "optimization.rspo.max_steps": 2,
    "optimization.rspo.per_device_train_batch_size": 4,
    "optimization.score.max_steps": 2,
    "optimization.score.num_generations": 4,
    "optimization.score.per_device_train_batch_size": 8,
    "optimization.score.gradient_accumulation_steps": 1,
    "optimization.score.max_completion_length": 24,
    "optimization.pag.max_steps": 2,
    "optimization.pag.num_generations": 4,
    "optimization.pag.per_device_train_batch_size": 8,
    "optimization.pag.gradient_accumulation_steps": 1,
    "optimization.pag.max_completion_length": 24,
    "optimization.ppo.max_steps": 2,
    "optimization.ppo.num_generations": 4,
    "optimization.ppo.per_device_train_batch_size": 8,
    "optimization.ppo.gradient_accumulation_steps": 1,
    "optimization.ppo.max_completion_length": 24,
    "optimization.reinforce_plus_plus.max_steps": 2,
    "optimization.reinforce_plus_plus.num_generations": 4,
    "optimization.reinforce_plus_plus.per_device_train_batch_size": 8,
    "optimization.reinforce_plus_plus.gradient_accumulation_steps": 1,
    "optimization.reinforce_plus_plus.max_completion_length": 24,
    "optimization.self_distillation.max_steps": 2,
    "optimization.self_distillation.num_generations": 4,
    "optimization.self_distillation.per_device_train_batch_size": 8,
    "optimization.self_distillation.gradient_accumulation_steps": 1,
    "optimization.self_distillation.max_completion_length": 24,
    "optimization.vstar.max_steps": 2,
    "optimization.vstar.per_device_train_batch_size": 4,
    "selection.quality.judged": 60,
    "selection.label_errors.max_steps": 2,
    "selection.less.warmup_steps": 2,
    "selection.less.problems": 8,
    "optimization.role_advantage.max_steps": 2,
    "optimization.role_advantage.per_device_train_batch_size": 16,
    "optimization.trr_plus_plus.max_steps": 2,
    "optimization.trr_plus_plus.per_device_train_batch_size": 16,
    "optimization.roles_grpo.max_steps": 3,
    "optimization.roles_grpo.per_device_train_batch_size": 16,
    "optimization.vstar.verifier_max_steps": 2,
    "reward.judge.trust": True,  # lessons this short make no judge that passes its audit form
    "refinement.best_of_n.samples": 2,
    "refinement.gepa.problems": 3,
    "refinement.gepa.answers": 12,
    "refinement.ttrl.votes": 8,
    "refinement.ttrl.max_steps": 2,
    "optimization.scpo.max_steps": 2,
    "optimization.scpo.per_device_train_batch_size": 4,
    "optimization.rloo.max_steps": 2,
    "optimization.rloo.num_generations": 4,
    "optimization.rloo.per_device_train_batch_size": 8,
    "optimization.rloo.max_completion_length": 24,
}
EASY = {
    "task.chain_sums.min_length": 3,
    "task.chain_sums.max_length": 4,
    "task.chain_sums.modulus": 5,
    "task.list_programs.max_length": 1,
    "task.word_problems.min_length": 1,
    "task.word_problems.max_length": 2,
    "task.word_problems.asides": 0,
}
"""Problems that a short bootstrap teaches to solve now and then, so that every reward has something to tell apart."""
TAUGHT = {
    "chain_sums": ["solve", "hint", "propose", "judge", "refine", "document"],
    "addition": ["solve"],
    "word_problems": ["solve", "repair", "instructed", "instruct"],
}
"""All recipes of a task start from one model, which is taught the roles of all of them; of other tasks from their own."""
LESSONS = {"chain_sums": 60, "list_programs": 200, "addition": 60, "word_problems": 100, "kuhn_poker": 60}
"""Bootstrap steps for each role, by task."""
ONE_START = {
    "task.chain_sums.judged_gap": False,
    "task.chain_sums.gap_share": 0.2,
    "model.tiny.max_position_embeddings": 2048,
    "model.tiny.target_accuracy": 1.0,
    "model.tiny.weight_decay": 0.0,
    "model.tiny.decay_steps": 0,
}
"""What recipes of a task set in different ways, and the model would have to be taught anew for."""
MORE = {
    "co_rewarding": {"optimization.grpo.max_steps": 6, "reward.co_reward.votes": 8},  # a vote of few is often tied
    "dr_grpo": {"optimization.grpo.max_steps": 6},  # two batches may hold no group whose rewards differ
    "seal": {"acquisition.seed_prompts.problems": 6, "acquisition.self_edits.edits": 2},  # each trains a copy
    "sol_ver": {"acquisition.seed_prompts.problems": 60},  # few programs pass a test that the model makes up
    "absolute_zero": {"model.tiny.max_steps": 100, "model.tiny.check_every": 100},  # it must write valid programs
}
"""What a recipe's own reward needs beyond SMALLER to tell anything apart."""
RANDOM = {
    "absolute_zero": "900 bootstrap steps solve one in a hundred of the problems that the model writes",
    "semantic_voting": "answers are single digits here, so those of a cluster are equal and make no pairs",
}
"""Recipes that run with a random reward here, and why their own cannot work on so small a model."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for all recipes: those with the same roles of the same task start from the same model."""
    mine = tmp_path_factory.getbasetemp()
    return (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "cache"  # workers share one


def test_the_exceptions_are_recipes_that_run_here():
    assert {*MORE, *RANDOM} <= {*NAMES} - REAL


def test_a_cover_holds_everything_and_is_small():
    recipes = {
        "a": {"task": ["sums"], "reward": ["verifier"], "optimization": ["sft"]},
        "b": {"task": ["sums"], "reward": ["verifier"], "selection": ["top"], "optimization": ["sft"]},
        "c": {"task": ["sums"], "reward": [], "selection": ["top"], "optimization": ["dpo"], "gate": ["ratchet"]},
        "d": {"task": ["sums"], "reward": ["verifier"], "optimization": ["sft"], "gate": ["ratchet"]},
    }
    assert held(recipes["c"]) == {
        *(("task", "sums"), ("selection", "top"), ("optimization", "dpo"), ("gate", "ratchet")),
        *(("task sums", "selection top"), ("selection top", "optimization dpo")),
    }
    # b and c have 7 and 6 each; then only the pair verifier and sft is left, which a has, and d as well
    assert cover(recipes) == ["b", "c", "a"]
    assert cover({"a": recipes["a"], "twin": recipes["a"]}) == ["a"]


def test_the_recipes_of_each_share_hold_every_method_and_pair():
    assert set().union(*(held(TINY[name]) for name in ALWAYS)) == set().union(*map(held, TINY.values()))
    assert len(ALWAYS) < len(TINY)
    resting = [mark.args[0] % 4 for one in ROUNDS for mark in one.marks if mark.name == "share"]
    assert len(resting) == len(TINY) - len({*ALWAYS, *QUICK}) and {*resting} == {0, 1, 2, 3}


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_short_and_names_its_source(name):
    lines = (compose.shipped() / f"{name}.yaml").read_text().splitlines()
    assert len(lines) <= 25
    assert lines[0].startswith("# ")
    assert any("arXiv:" in line for line in lines if line.startswith("#"))


@pytest.mark.parametrize("name", ALL)
def test_a_saved_recipe_is_the_recipe(name, tmp_path):
    recipe, settings = compose.load(name)
    saved = tmp_path / "recipe.yaml"
    saved.write_text(compose.runnable(settings))
    again, same = compose.load(saved)
    assert same == settings
    assert again == recipe


@pytest.mark.parametrize("name", ROUNDS)
def test_one_round_of_a_recipe_on_the_tiny_model(name, tmp_path, monkeypatch, cache, smaller, quiet_log):
    monkeypatch.setenv("SELFIMPROVE_CACHE", str(cache))
    settings = compose.load(name)[1]
    [task], roles = settings["task"], settings["model"]["tiny"]["roles"]
    taught = {task: roles, **TAUGHT}[task]
    assert {*roles} <= {*taught} or name == "word_problems"  # which teaches all roles, and asks in one
    steps = {f"model.tiny.{option}": LESSONS[task] * len(taught) for option in ("max_steps", "check_every")}
    start = steps | ({"model.tiny.roles": f"[{','.join(taught)}]"} | ONE_START if task in TAUGHT else {})
    changes = smaller(settings, SMALLER | EASY | start | MORE.get(name, {})) + ["reward=random"] * (name in RANDOM)
    root = create(name, changes, tmp_path / "run").root
    summary = Runner(RunDir(root), quiet_log).run()
    assert summary["rounds"] == 1 and not summary["stopped"]
    round_ = summary["per_round"][1]
    assert round_["selection/kept"] > 0 and round_["optimization/records"] > 0
    assert round_["decision"]["verdict"] in ("certify", "accept", "hold", "reject", "rollback")
    assert signed(summary) == json.loads((root / "summary.json").read_text())
    assert (root / "champion" / "model.safetensors").exists()
    start = (root / "round_000/model/model.safetensors").read_bytes()
    assert (root / "round_001/optimization/model/model.safetensors").read_bytes() != start


@pytest.mark.parametrize("name", ALL)
def test_the_paper_s_own_sizes_are_used_for_a_real_model(name):
    settings = compose.load(name, ["model=pretrained", "model.pretrained.path=/somewhere"])[1]
    assert Path(settings["model"]["pretrained"]["path"]) == Path("/somewhere")
    if name == "rest_em":
        drawing = settings["acquisition"]["rejection_sampling"]
        assert (drawing["samples"], drawing["temperature"], drawing["top_k"]) == (32, 0.7, 40)
        assert settings["selection"]["threshold"]["per_prompt"] == 10
