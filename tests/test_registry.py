"""Methods register themselves; names that do not exist are answered with the nearest one."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest
from omegaconf import MISSING

from selfimprove import registry
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Refinement, Reward, Selection


@pytest.fixture(autouse=True)
def own_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test sees all methods, and what it registers is gone afterwards."""
    registry.discover()
    monkeypatch.setattr(registry, "METHODS", dict(registry.METHODS))


@dataclass
class Sketch(Reward):
    """A method of this test."""

    path: str = MISSING
    """Where it reads from."""
    share: float = 0.5
    "How much, in one"
    level: int | None = None
    """What nobody sets."""
    on: bool = True
    bare: list[str] = field(default_factory=lambda: ["a"])

    def rate(self, groups: Any, context: Any) -> Any:
        return []


def test_every_slot_has_a_method_and_the_walking_path_is_there() -> None:
    registry.discover()
    assert all(registry.names(slot) for slot in registry.SLOTS)
    assert {"threshold", "dedup", "everything"} <= set(registry.names("selection"))
    assert registry.names("gate") == sorted(registry.names("gate"))


def test_slots_are_in_the_order_of_the_lifecycle() -> None:
    assert list(registry.SLOTS) == [
        *("task", "model", "engine", "acquisition", "reward", "selection", "sampler", "optimization"),
        *("refinement", "evaluation", "alarm", "gate", "controller", "launcher", "tracker"),
    ]


def test_discovering_twice_registers_nothing_twice() -> None:
    before = dict(registry.METHODS)
    registry.discover()
    assert before == registry.METHODS


@pytest.mark.long
def test_discovering_loads_nothing_heavy() -> None:
    code = (
        "import sys; from selfimprove import registry; from selfimprove.loop import loop; from selfimprove.recipe import compose; "
        "registry.discover(); compose.load('quickstart');"
        "print([m for m in ('torch', 'transformers', 'trl', 'vllm', 'datasets', 'scipy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_method_goes_into_the_slot_that_it_extends() -> None:
    registry.register("sketch", paper="1234.56789")(Sketch)
    entry = registry.find("reward", "sketch")
    assert (entry.slot, entry.name, entry.method, entry.paper) == ("reward", "sketch", Sketch, "1234.56789")
    assert "sketch" in registry.names("reward")


def test_one_name_may_stand_in_two_slots_but_not_twice_in_one() -> None:
    assert ("reward", "random") in registry.METHODS
    registry.register("threshold")(Sketch)
    assert registry.find("reward", "threshold").method is Sketch is not registry.find("selection", "threshold").method
    with pytest.raises(ValueError, match="reward 'threshold' is registered twice"):
        registry.register("threshold")(Sketch)


def test_a_plugin_is_loaded_from_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plugin:
        def load(self) -> None:
            registry.register("from_a_plugin")(Sketch)

    monkeypatch.setattr(registry, "entry_points", lambda group: [Plugin()] if group == "selfimprove" else [])
    registry.discover()
    assert registry.find("reward", "from_a_plugin").method is Sketch


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("import selfimprove.metric_log", "selfimprove.metric_log is now selfimprove.logs"),
        (
            "from selfimprove.text import final_answer",
            "selfimprove.text.final_answer is now selfimprove.problems.answers",
        ),
        ("from selfimprove.refinement.greedy import Greedy", "is now selfimprove.methods.refinement"),
        ("from selfimprove.sandbox.grading import grade", "selfimprove.sandbox is now selfimprove.safety.sandbox"),
    ],
)
def test_a_plugin_that_imports_an_old_place_is_told_the_new_one(
    monkeypatch: pytest.MonkeyPatch, line: str, told: str
) -> None:
    class Plugin:
        name, value = "old", "old:methods"

        def load(self) -> None:
            exec(line, {})  # noqa: S102

    monkeypatch.setattr(registry, "entry_points", lambda group: [Plugin()])
    with pytest.raises(RecipeError, match=r"the plugin 'old' \(old:methods\) cannot be loaded") as caught:
        registry.load_plugins()
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_every_place_that_a_plugin_is_told_exists() -> None:
    for place in registry.MOVED.values():
        try:
            importlib.import_module(f"selfimprove.{place}")
        except ModuleNotFoundError:
            module, _, name = place.rpartition(".")
            assert hasattr(importlib.import_module(f"selfimprove.{module}"), name)


def test_a_refinement_with_the_old_signature_is_told_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Old(Refinement):
        def answer(self, prompts, state, policy):  # pyright: ignore
            return []

    class Plugin:
        name, value = "old", "old:Old"

        def load(self) -> None:
            registry.register("old")(Old)

    monkeypatch.setattr(registry, "entry_points", lambda group: [Plugin()])
    with pytest.raises(RecipeError) as caught:
        registry.load_plugins()
    assert str(caught.value) == (
        "the plugin 'old' (old:Old) cannot be loaded: refinement 'old' has answer(self, prompts, state, policy); write "
        "`async def answer(self, prompt, session)`, which answers one problem and awaits its session"
    )


def test_a_plugin_that_sets_what_needs_says_now_is_told_so() -> None:
    class Old(Reward):
        asks = ("judge",)

        def rate(self, groups, context):  # pyright: ignore
            return []

    with pytest.raises(TypeError, match=r"reward 'old' sets asks; declare it by `def needs\(self\)`.*roles=\.\.\.\)"):
        registry.register("old")(Old)


def test_an_unknown_slot_and_an_unknown_method_name_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"no slot is called 'selektion'\. Did you mean 'selection'\?"):
        registry.find("selektion", "threshold")
    with pytest.raises(RecipeError, match=r"no selection is called 'treshold'\. Did you mean 'threshold'\?") as error:
        registry.find("selection", "treshold")
    assert all(name in str(error.value) for name in registry.names("selection"))


def test_nearest_guesses_only_what_is_near() -> None:
    assert registry.nearest("dedupe", ["dedup", "threshold"]) == " Did you mean 'dedup'? Choose from: dedup, threshold."
    assert registry.nearest("xyz", ["dedup", "threshold"]) == " Choose from: dedup, threshold."


def test_options_carry_their_defaults_as_yaml_and_the_help_under_the_field() -> None:
    found = {option.name: (option.default, option.help) for option in registry.options(Sketch)}
    assert list(found) == ["weight", "normalize", "path", "share", "level", "on", "bare"]  # the base class comes first
    assert found["path"] == ("required", "Where it reads from.")
    assert found["share"] == ("0.5", "How much, in one")
    assert found["level"] == ("null", "What nobody sets.")
    assert found["on"] == ("true", "") and found["bare"] == ("['a']", "")
    assert found["weight"][0] == "1.0" and "monitor" in found["weight"][1]


def test_a_method_without_options_has_none() -> None:
    @dataclass
    class Bare(Selection):
        def select(self, records: Any, context: Any) -> Any:
            return records

    assert registry.options(Bare) == []


def test_the_summary_is_the_first_line_of_the_file() -> None:
    entry = registry.find("selection", "threshold")
    assert registry.summary(entry) == "Keep the rollouts with a high enough reward, at most a few per problem"
    assert registry.document(entry).startswith(registry.summary(entry))
