"""Where a run left another one, and which steps are its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from selfimprove.errors import DataError
from selfimprove.loop.branch import Branch, branch_of
from selfimprove.store.ledger import Ledger

ORDER = ("acquisition", "selection", "optimization", "sealed")
LEFT = Branch(
    run="first",
    round=2,
    step="selection",
    overrides={"reward": 1},
    exams=1,
    consumed=frozenset({"a"}),
    steps=9,
    seconds=1.0,
    tokens=2.0,
)


@pytest.mark.parametrize(
    ("number", "step", "own"),
    [
        (1, "sealed", False),
        (2, "acquisition", False),
        (2, "selection", True),
        (2, "sealed", True),
        (2, "unknown", True),
        (3, "acquisition", True),
    ],
)
def test_its_own_steps_are_those_from_where_it_left(number: int, step: str, own: bool) -> None:
    assert LEFT.owns(number, step, ORDER) is own


def test_other_options_or_places_have_other_seeds_and_the_name_of_the_run_has_none() -> None:
    other = [replace(LEFT, overrides={}), replace(LEFT, step="sealed"), replace(LEFT, round=3)]
    assert len({LEFT.id, *(one.id for one in other)}) == 4
    assert replace(LEFT, run="moved", exams=2, consumed=frozenset()).id == LEFT.id


def test_a_run_that_says_it_left_another_must_have_what_that_one_used(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert branch_of(tmp_path, {}, ledger) is None
    with pytest.raises(DataError, match="replay.json is missing"):
        branch_of(tmp_path, {"replay": "first"}, ledger)
