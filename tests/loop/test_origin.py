"""A run's recipe.yaml has every option that the run began with; what was cut off does not come back as a default."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.errors import RecipeError
from selfimprove.loop.history import Stored
from selfimprove.loop.origin import missing


def test_what_is_missing_by_hand() -> None:
    then = {"rounds": 2, "task": {"sums": {"a": 1, "b": None}}, "gate": {"always": {}}}
    assert missing(then, then) == []
    assert missing(then, {**then, "more": 1}) == []
    assert missing(then, {"rounds": 3, "task": {"sums": {"a": 1}}}) == ["task.sums.b", "gate"]
    assert missing(then, {**then, "task": None}) == ["task"]


def test_a_recipe_cut_off_between_two_options_is_damaged(make_run: Callable) -> None:
    """What remains composes to the same settings, since the run has defaults for the rest."""
    folder, _ = make_run()
    path = folder.root / "recipe.yaml"
    whole = path.read_text()
    Stored(folder)
    path.write_text(whole[: whole.index("\ncontroller:\n  ") + 1])
    with pytest.raises(RecipeError, match=r"recipe\.yaml is damaged: it was written with controller, which is gone"):
        Stored(folder)
