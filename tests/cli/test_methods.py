"""Lists of methods and recipes, which fit, and a recipe as it is written."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from selfimprove import registry
from selfimprove.recipe.places import shipped

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_lists_have_a_line_for_each_and_fit(command: Command) -> None:
    code, out, _ = command("list")
    lines = out.splitlines()
    assert code == 0 and max(map(len, lines)) <= 80
    for slot in registry.SLOTS:
        place = lines.index(next(line for line in lines if line.startswith(f"{slot}: ")))
        names = [line.split()[0] for line in lines[place + 1 : place + 1 + len(registry.names(slot))]]
        assert names == registry.names(slot)
    code, out, _ = command("list", "gate")
    assert code == 0 and "selfimprove show gate METHOD" in out and "task:" not in out


def test_recipes_are_grouped_by_what_they_need(command: Command) -> None:
    code, out, _ = command("recipes", "--search", "vote")
    lines = out.splitlines()
    assert code == 0 and lines[0].startswith("needs nothing but problems") and max(map(len, lines)) <= 80
    assert any(line.split()[:1] == ["majority_vote"] for line in lines)
    found = json.loads(command("recipes", "--json")[1])
    assert {one["name"] for one in found} == {path.stem for path in shipped().glob("*.yaml")}
    code, _, err = command("recipes", "--search", "xyzzy")
    assert code == 66 and "no shipped recipe has the word 'xyzzy'" in err and err.count("\n") == 1


def test_a_recipe_is_shown_as_it_is_written_and_a_slot_alone_is_told_how(command: Command) -> None:
    assert command("show", "star") == (0, (shipped() / "star.yaml").read_text(), "")
    code, _, err = command("show", "selection")
    assert code == 2 and err.endswith("They are in: selfimprove list selection\n")
    code, _, err = command("show", "starr")
    assert code == 66 and "Did you mean 'star'?" in err
