"""docs/engines.md: its engines, its options and its commands exist."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from selfimprove import registry
from selfimprove.errors import UserError
from selfimprove.interfaces import ABILITIES, ROLES
from selfimprove.recipe import compose
from selfimprove.recipe.checks import USING

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "engines.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line)[3:] for line in PAGE.splitlines() if line.startswith("$ selfimprove run ")]


def rows(text: str, head: str) -> list[list[str]]:
    """The names in backticks in the first cell of each row of a table."""
    lines = text[text.index(f"\n{head}") + 1 :].split("\n\n")[0].splitlines()[2:]
    return [re.findall(r"`(\w+)`", line.split("|")[1]) for line in lines]


def test_every_engine_has_a_row() -> None:
    assert sorted(name for [name] in rows(PAGE, "| engine |")) == registry.names("engine")


def test_the_table_of_abilities_says_what_the_engines_say_of_themselves() -> None:
    head, _, *lines = PAGE[PAGE.index("\n| ability |") + 1 :].split("\n\n")[0].splitlines()
    names = re.findall(r"`(\w+)`", head)
    told: dict[str, set[str]] = {name: set() for name in names}
    for line in lines:
        ability, _, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        assert len(cells) == len(names) and set(cells) <= {"yes", "no"}
        for name, cell in zip(names, cells, strict=True):
            told[name] |= {ability.strip("`")} if cell == "yes" else set()
    assert [line.split("`")[1] for line in lines] == list(ABILITIES)
    assert told == {name: set(registry.find("engine", name).method.can) for name in registry.names("engine")}


@pytest.mark.parametrize("name", ["vllm", "openai"])
def test_every_option_of_a_table_exists(name: str) -> None:
    chapter = PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]
    told = {option for line in rows(chapter, "| option |") for option in line}
    assert len(told) >= 5 and told <= set(registry.option_names(registry.find("engine", name).method))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_composes(words: list[str]) -> None:
    recipe, _ = compose.load(words[0], words[1:])
    assert list(recipe.engine) == [word.partition("=")[2] for word in words if word.startswith("engine=")]


def test_the_recipe_of_a_teacher_composes(make_recipe) -> None:
    text = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
    recipe, settings = compose.load(make_recipe(text))
    assert settings["engine"] == {
        "openai": {**settings["engine"]["openai"], **yaml.safe_load(text)["engine"]["openai"]}
    }
    assert list(recipe.engine) == ["openai"]


def test_the_table_of_roles_has_the_methods_that_ask_in_them() -> None:
    registry.discover()
    asking: dict[str, set[str]] = {role: set() for role in ROLES}
    for entry in registry.METHODS.values():
        if entry.slot in USING:
            with contextlib.suppress(UserError):  # it has an option that a recipe has to set
                for role in set(entry.method().needs().roles) & set(ROLES):
                    asking[role].add(f"{entry.slot} {entry.name}")
    told: dict[str, set[str]] = {}
    for role, cell in re.findall(r"^\| `(propose|hint|judge|refine)` \| (.*) \|$", PAGE, re.MULTILINE):
        parts = re.findall(r"(reward|acquisition|selection|evaluation|refinement)s? ((?:`\w+`(?:, )?)+)", cell)
        told[role] = {f"{slot} {name}" for slot, names in parts for name in re.findall(r"`(\w+)`", names)}
    assert told == asking
