"""The comparison of declared and taken costs: what is a bound and too low is said, and what the page shows of it."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def load(name: str) -> ModuleType:
    place = importlib.util.spec_from_file_location(f"costs_{name}", ROOT / "scripts" / f"{name}.py")
    assert place and place.loader
    module = importlib.util.module_from_spec(place)
    sys.modules[place.name] = module
    place.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load("compare_costs")


@pytest.fixture
def lines(script: ModuleType) -> list[Any]:
    long = script.AS_LONG
    rows = [("a", "completions", 110, 100), ("a", "tokens", 5000, 500), ("a", long, 450, 500), ("a", "steps", 30, 30)]
    rows += [("b", "completions", 300, 100), ("b", "steps", 29, 30), ("b", "data", 10, 0)]
    return [script.Line(*row) for row in rows]


def test_a_bound_below_what_was_taken_is_too_low_and_an_expectation_is_none(
    script: ModuleType, lines: list[Any]
) -> None:
    found = script.figures(lines)
    assert found["too_low"] == ["b: steps"] and found["recipes"] == 2
    assert found["columns"][0] == {"what": "completions", "median": 2.05, "worst": 3.0, "of": "b"}
    assert [one["what"] for one in found["columns"]] == ["completions", "steps", "tokens", script.AS_LONG]
    told = script.table(lines)
    assert (
        told.endswith("b: steps: said 29, took 30") and "| median of 2 | | 2.05 | - | 0.98 | 10.00 | 0.90 | -" in told
    )


def test_the_page_shows_medians_and_what_is_farthest_above(
    script: ModuleType, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    page = load("results_table").compared(json.loads(json.dumps(script.figures(lines))))
    assert "Of 2 recipes" in page and "Said too low: b: steps." in page
    assert "| completions | 2.05 | 3.00 (`b`) |" in page


def test_a_recipe_of_the_tiny_model_is_made_small(script: ModuleType) -> None:
    assert script.tiny("quickstart") and not script.tiny("gsm8k_grpo")
    assert {"rounds=2", "acquisition.seed_prompts.problems=60", "gate_problems=60"} <= set(script.changes("quickstart"))


def test_a_file_keeps_the_numbers_of_recipes_that_were_not_run_again(
    script: ModuleType, lines: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / "costs.json"
    assert script.others(file, lines) == []
    file.write_text(json.dumps(script.figures(lines)))
    again = [script.Line("b", "completions", 300, 150)]
    assert script.others(file, again) == [line for line in lines if line.recipe == "a"]
