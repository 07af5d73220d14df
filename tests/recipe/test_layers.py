"""Recipes that build on others: later layers win, and what cannot be built on is one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove.errors import RecipeError
from selfimprove.recipe import compose
from selfimprove.recipe.layers import layers, merged
from selfimprove.recipe.places import shipped


def write(folder: Path, **texts: str) -> Path:
    """Recipe files by their names; the last one."""
    paths = [folder / f"{name}.yaml" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text)
    return paths[-1]


def test_a_recipe_takes_all_of_another_and_changes_what_it_says(tmp_path: Path) -> None:
    mine = write(
        tmp_path,
        mine="defaults: [rest_em, reward: majority_vote, _self_]\nrounds: 7\nselection: {threshold: {per_prompt: 2}}\n",
    )
    recipe, settings = compose.load(mine, ["bench=false"])
    assert (recipe.rounds, list(recipe.reward), list(recipe.selection)) == (
        7,
        ["majority_vote"],
        ["threshold", "dedup"],
    )
    assert settings["selection"]["threshold"]["per_prompt"] == 2
    assert settings["acquisition"]["rejection_sampling"]["top_k"] == 40, "from rest_em"
    saved = write(tmp_path, saved=compose.runnable(settings))
    assert compose.load(saved, ["bench=false"])[1] == settings, "a run keeps the whole recipe"


def test_a_file_beside_it_comes_before_a_shipped_one_and_its_own_values_before_the_bench_of_its_base(
    tmp_path: Path,
) -> None:
    mine = write(
        tmp_path,
        rest_em="defaults: [star, _self_]\nrounds: 4\nbench: {rounds: 5, seed: 3}\n",
        mine="defaults: [rest_em.yaml]\nrounds: 6\nbench: {seed: 9}\n",
    )
    found = layers(mine, shipped())
    assert [one.path.stem for one in found] == ["star", "rest_em", "mine"]
    tiny, whole = merged(found, tiny=True), merged(found, tiny=False)
    assert (tiny["rounds"], tiny["seed"], whole["rounds"], "seed" in whole) == (6, 9, 6, False)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"a": "defaults: [b]", "b": "defaults: [a]"}, "build on each other in a circle: b -> a -> b"),
        ({"a": "defaults: [rest_emm]"}, "cannot read 'rest_emm' in defaults; .* Did you mean 'rest_em'?"),
        ({"a": "defaults: [../a]"}, "a shipped one, or a file in the same folder"),
        ({"a": "defaults: [/etc/passwd]"}, "a shipped one, or a file in the same folder"),
        ({"a": "defaults: [7]"}, "cannot read 7 in defaults"),
        ({"a": "defaults: [_self_, star]"}, "'star' must stand first in defaults: what follows changes it"),
        ({"a": "defaults: [reward: verifier, star]"}, "'star' must stand first in defaults"),
        ({f"a{n}": f"defaults: [a{n - 1}]" for n in range(1, 11)}, "at most 8 recipes may build on each other"),
        ({"a": "roundz: 3", "b": "defaults: [a]"}, "unknown key 'roundz'. Did you mean 'rounds'"),
    ],
    ids=["circle", "name", "above", "absolute", "number", "after self", "after a method", "deep", "a base's key"],
)
def test_what_cannot_be_built_on_is_one_line(tmp_path: Path, texts: dict[str, str], said: str) -> None:
    with pytest.raises(RecipeError, match=said) as failed:
        compose.load(write(tmp_path, **texts))
    assert "\n" not in str(failed.value)


def test_options_of_a_base_whose_method_is_swapped_are_dropped(make_recipe: Callable[[str], Path]) -> None:
    recipe, _ = compose.load(make_recipe("defaults: [majority_vote, reward: verifier]\n"))
    assert list(recipe.reward) == ["verifier"], "majority_vote's min_agreement in the bench goes with it"
