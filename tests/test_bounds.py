"""What numbers options take: said by their fields, held to by every recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from selfimprove import registry
from selfimprove.bounds import LARGEST, Bounds, bounded, bounds_of
from selfimprove.errors import RecipeError
from selfimprove.recipe import compose
from selfimprove.recipe.checks import check_ranges
from selfimprove.recipe.schema import Recipe

PATH = Path("mine.yaml")


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "said"),
    [
        (Bounds(1), (1, 10**15), (0, 0.999, 10**15 + 1), "at least 1"),
        (Bounds(0, 1), (0, 0.5, 1.0), (-0.1, 1.1), "0 to 1"),
        (Bounds(above=0), (1e-9, 5), (0, -1), "above 0"),
        (Bounds(high=1, above=0), (0.1, 1), (0, 1.5), "above 0 and at most 1"),
        (Bounds(0, below=1), (0, 0.99), (1, -0.5), "at least 0 and below 1"),
        (Bounds(), (-5, 0, 7.5), (math.nan, math.inf, -math.inf, -(10**16)), "-1e+15 to 1e+15"),
    ],
    ids=str,
)
def test_bounds(bounds: Bounds, inside: tuple[float, ...], outside: tuple[float, ...], said: str) -> None:
    assert all(map(bounds.holds, inside)) and not any(map(bounds.holds, outside))
    assert str(bounds) == said


def test_a_restated_option_keeps_its_bounds() -> None:
    @dataclass
    class Base:
        rate: float = bounded(0.1, 0, 1)
        n: int = bounded(1, 1)
        free: int = 0

    @dataclass
    class Own(Base):
        rate: float = 0.5
        n: int = bounded(4, 2)

    assert Own() == Own(rate=0.5, n=4, free=0)
    assert bounds_of(Own) == {"rate": Bounds(0, 1), "n": Bounds(2)}


def _outside(bounds: Bounds) -> list[float]:
    """Values just beyond a bound, and some that are no finite number."""
    beyond = [bounds.low - 1, bounds.high + 1, bounds.above, bounds.below]
    return [value for value in beyond if abs(value) <= 2 * LARGEST] + [math.nan, math.inf]


@pytest.mark.parametrize("slot", registry.SLOTS)
def test_every_bound_is_held_to_and_said_with_its_place(slot: str) -> None:
    for name in registry.names(slot):
        method = registry.find(slot, name).method
        for option, bounds in bounds_of(method).items():
            for value in _outside(bounds):
                settings: Any = {slot: {name: {option: value}}}
                with pytest.raises(RecipeError) as refused:
                    check_ranges(settings, PATH)
                told = f"mine.yaml: {slot}.{name}.{option} is {value}; it must be {bounds}"
                assert str(refused.value) in (told, f"{told}, and at most 1e+15")


def test_every_default_is_within_its_bounds() -> None:
    registry.discover()
    for owner in [Recipe, *(entry.method for entry in registry.METHODS.values())]:
        taken = bounds_of(owner)
        for field in fields(owner):
            if field.name in taken and isinstance(field.default, int | float):
                assert taken[field.name].holds(field.default), (owner, field.name)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "acquisition.rejection_sampling.samples=0",
            "acquisition.rejection_sampling.samples is 0; it must be at least 1",
        ),
        ("optimization.sft.learning_rate=-1", "optimization.sft.learning_rate is -1.0; it must be 0 to 100"),
        ("model.tiny.hidden_size=0", "model.tiny.hidden_size is 0; it must be 1 to 100000"),
        ("gate_problems=0", "gate_problems is 0; it must be at least 1"),
        ("autonomy=4", "autonomy is 4; it must be 0 to 3"),
    ],
)
def test_an_override_outside_gets_one_line(override: str, said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        compose.load("quickstart", [override])
    assert str(refused.value).endswith(f": {said}") and "\n" not in str(refused.value)


def test_show_says_what_an_option_takes() -> None:
    helps = {option.name: option.help for option in registry.options(registry.find("selection", "iwsi").method)}
    assert helps["keep"].endswith("Takes above 0 and at most 1.")
