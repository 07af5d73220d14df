"""A recipe to begin with says the same as the shipped one, and five answers make one that composes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from selfimprove.recipe import compose, starter, yaml_file
from selfimprove.recipe.places import shipped
from selfimprove.recipe.shelf import shelf
from selfimprove.recipe.starter import Answers


@pytest.mark.parametrize("path", sorted(shipped().glob("*.yaml")), ids=lambda path: path.stem)
def test_a_copy_with_comments_is_the_same_recipe(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    made = starter.annotated(path.stem, text)
    assert yaml.load(made, yaml.CSafeLoader) == yaml.load(text, yaml.CSafeLoader)
    assert made.splitlines()[0].endswith("for your own model and data.") and "#> your own model" in made
    assert all(line in made for line in text.splitlines()) and max(map(len, made.splitlines())) <= 140


def test_five_answers_make_a_recipe_that_builds_on_another(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    model, data = str(tmp_path / "a model: 7"), 'x "y".jsonl'
    path.write_text(starter.built(Answers("rest_em", model, data, "math", 4)))
    recipe, settings = compose.load(path)
    assert (recipe.rounds, list(recipe.task), list(recipe.reward)) == (4, ["jsonl"], ["verifier"])
    assert settings["model"]["pretrained"]["path"] == model
    assert settings["task"]["jsonl"]["path"] == data and settings["task"]["jsonl"]["verifier"] == "math"
    path.write_text(starter.built(Answers("rest_em", "a/b", "rows.jsonl")))
    assert list(compose.load(path)[0].reward) == ["majority_vote"], "no answers to compare with"
    path.write_text(starter.built(Answers("quickstart")))
    assert list(yaml_file.read(path)) == ["defaults", "rounds"] and list(compose.load(path)[0].model) == ["tiny"]


def test_the_shelf_says_what_each_recipe_is_and_needs() -> None:
    found = {one.name: one for one in shelf()}
    assert next(iter(found)) == "quickstart" and len(found) == len(list(shipped().glob("*.yaml")))
    needs = {name: found[name].needs for name in ("quickstart", "majority_vote", "self_rewarding", "gsm8k_rest_em")}
    assert needs == {
        "quickstart": ("answers",),
        "majority_vote": (),
        "self_rewarding": ("judge",),
        "gsm8k_rest_em": ("answers", "GPU"),
    }
    assert found["dr_grpo"].what.startswith("Dr. GRPO: Understanding") and found["dr_grpo"].paper == "2503.20783"
    assert {one.name for one in shelf("VOTE")} >= {"majority_vote", "ttrl"} and not shelf("no such word")
