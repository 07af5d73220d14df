"""The recipes for a real model: one round of each, with a small Llama and small files in the form of the data sets."""

import json
from pathlib import Path

import pytest

from selfimprove.loop.begin import create
from selfimprove.loop.loop import Runner
from selfimprove.recipe import compose
from selfimprove.store.run_folder import RunDir

NAMES = sorted(path.stem for path in compose.shipped().glob("*.yaml") if "- model: pretrained" in path.read_text())
NOTHING = {"num_words": None, "relation": None}
WORDS = [{**NOTHING, "num_words": 1, "relation": "at least"}, NOTHING]
ROWS = {
    "gsm8k": lambda i: {"question": f"what is {i} + 5?", "answer": f"{i} + 5 = {i + 5}\n#### {i + 5}"},
    "math500": lambda i: {"problem": f"what is {i} / 7?", "answer": f"\\frac{{{i}}}{{7}}", "level": 1},
    "ifeval": lambda i: {
        "prompt": f"write of {i} without a comma",
        "instruction_id_list": ["length_constraints:number_words", "punctuation:no_comma"],
        "kwargs": json.dumps(WORDS),
    },
}
ROWS["python_programs"] = lambda i: {"code": f"def f(x):\n    return x + {i}", "input": "1", "output": str(i + 1)}
SMALLER = {
    "rounds": 1,
    "gate_problems": 8,
    "audit_problems": 8,
    "audit_samples": 2,
    "sealed_problems": 8,
    "control_problems": 4,
    "control_samples": 2,
    "engine.transformers.max_completion_length": 8,
    "acquisition.seed_prompts.problems": 8,
    "acquisition.rejection_sampling.samples": 2,
    "acquisition.refined.samples": 2,
    "acquisition.propose.problems": 8,
    "acquisition.propose.samples": 4,
    "acquisition.propose.rate": "reward",
    "acquisition.propose.invalid": 1.0,  # random weights propose nothing that ends
    "acquisition.propose.low": 0.0,
    "acquisition.propose.high": 1.0,
    "optimization.sft.max_steps": 2,
    "optimization.sft.per_device_train_batch_size": 4,
    "optimization.sft.gradient_accumulation_steps": 1,
    "optimization.dpo.max_steps": 2,
    "optimization.trr_plus_plus.max_steps": 2,
    "optimization.trr_plus_plus.gradient_accumulation_steps": 1,
    "optimization.grpo.max_steps": 2,
    "optimization.grpo.num_generations": 4,
    "optimization.grpo.per_device_train_batch_size": 8,
    "optimization.grpo.gradient_accumulation_steps": 1,
    "optimization.grpo.max_completion_length": 8,
}


@pytest.fixture(scope="module")
def llama(small_llama, tmp_path_factory) -> Path:
    # long enough for the proposer's prompt, and quiet enough that samples end
    return small_llama.build(tmp_path_factory.mktemp("model") / "llama", template=True, max_position_embeddings=2048)


def instead(settings: dict, llama: Path, folder: Path) -> list[str]:
    """The overrides that give a recipe the small model, and small data in place of those of the hub."""
    [task] = settings["task"]
    data = folder / f"{task}.jsonl"
    data.write_text("".join(json.dumps(ROWS[task](i)) + "\n" for i in range(400)))
    return [f"model.pretrained.path={llama}", f"task.{task}.path={data}"]


def test_there_are_recipes_for_a_real_model():
    assert {"gsm8k_rest_em", "gsm8k_grpo", "math_ttrl", "self_rewarding_instruct", "r_zero_math"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_names_a_model_and_runs_on_one_device(name):
    settings = compose.load(name)[1]
    assert settings["model"]["pretrained"]["path"].count("/") == 1
    assert list(settings["engine"]) == ["transformers"] and list(settings["launcher"]) == ["inline"]
    tokens = settings["engine"]["transformers"]["max_completion_length"]
    assert all(method.get("max_completion_length", tokens) == tokens for method in settings["optimization"].values())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_one_round_of_a_recipe_with_a_small_llama(name, llama, tmp_path, smaller, quiet_log):
    settings = compose.load(name)[1]
    # random weights solve nothing, agree on nothing and judge nothing, and a round needs data
    changes = [*instead(settings, llama, tmp_path), *smaller(settings, SMALLER), "reward=random"]
    root = create(name, changes, tmp_path / "run").root
    summary = Runner(RunDir(root), quiet_log).run()
    assert (summary["rounds"], summary["stopped"]) == (1, "")
    round_ = summary["per_round"][1]
    assert round_["selection/kept"] > 0 and round_["optimization/records"] > 0
    assert summary["sealed"]["n"] == 8
    start = (llama / "model.safetensors").read_bytes()
    made = (root / "round_001/optimization/model/model.safetensors").read_bytes()
    assert (made != start) == (name != "code_absolute_zero")  # equal scores of proposals have no advantage
