"""The fuzzer of recipes: a few cases in each quick suite, 150 in CI, 2,000 in the slow one, more by scripts/fuzz_recipes.py."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.recipe import compose

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fuzz_recipes.py"


@pytest.fixture(scope="module")
def fuzzer() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("fuzz_recipes", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_recipes"] = module
    spec.loader.exec_module(module)
    return module


def test_a_few_mutants(fuzzer: ModuleType) -> None:
    ended, wrong = fuzzer.fuzz(15, seed=7)
    assert not wrong and sum(ended.values()) == 15


def test_a_bug_is_found_and_told(fuzzer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(compose, "load", broken)
    ended, wrong = fuzzer.fuzz(2, seed=7)
    assert not ended and len(wrong) == 2 and "ZeroDivisionError: a bug" in wrong[0] and "case 7:0" in wrong[0]


def test_a_case_follows_from_its_number(fuzzer: ModuleType) -> None:
    text = compose.find("quickstart").read_text(encoding="utf-8")
    made = [fuzzer.mutated(text, ["gate", "seed"], random.Random(f"0:{n}")) for n in (1, 2, 1)]
    assert made[0] == made[2] != made[1] != text


@pytest.mark.faults
def test_the_mutants_of_a_share(fuzzer: ModuleType, pytestconfig: pytest.Config) -> None:
    """In CI other ones for each commit."""
    share = pytestconfig.getoption("share") or 0
    ended, wrong = fuzzer.fuzz(150, seed=share)
    assert not wrong, wrong[0]
    assert sum(ended.values()) == 150 and ended[2] > 75


@pytest.mark.slow
def test_two_thousand_mutants(fuzzer: ModuleType) -> None:
    ended, wrong = fuzzer.fuzz(2000, seed=0)
    assert not wrong, wrong[0]
    assert sum(ended.values()) == 2000 and ended[0] > 20 and ended[2] > 1000


@pytest.mark.slow
@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_recipe_or_one_line(
    fuzzer: ModuleType, tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "mine.yaml"
    assert fuzzer.tried(data, path) in {0, *fuzzer.CODES}
