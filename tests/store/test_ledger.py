"""The ledger: what was read of the held-out problems, in a chain that shows every change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import DataError
from selfimprove.store.ledger import START, Ledger


@pytest.fixture
def ledger(tmp_path: Path, make_rollout: Callable) -> Ledger:
    made = Ledger(tmp_path / "ledger.jsonl")
    problems = [make_rollout("#1", key).prompt for key in ("1+2", "3+4")]
    made.read(0, "evaluation", "gate", problems)
    made.read(1, "evaluation", "gate", problems[:1])
    made.spend(1, "gate", 0.01)
    return made


def test_each_line_names_the_one_before(ledger: Ledger) -> None:
    first, second, third = ledger.entries()
    assert (first["before"], second["before"], third["before"]) == (START, first["hash"], second["hash"])
    assert (first["n"], second["n"], third["alpha"]) == (2, 1, 0.01)


def test_a_step_that_is_done_again_notes_nothing_new(ledger: Ledger, make_rollout: Callable) -> None:
    before = ledger.path.read_bytes()
    ledger.read(1, "evaluation", "gate", [make_rollout("#9", "1+2").prompt])
    ledger.spend(1, "gate", 0.01)
    assert ledger.path.read_bytes() == before


def test_the_order_of_the_problems_does_not_matter(tmp_path: Path, make_rollout: Callable) -> None:
    problems = [make_rollout("#1", key).prompt for key in ("1+2", "3+4", "5+6")]
    one, other = Ledger(tmp_path / "a"), Ledger(tmp_path / "b")
    one.read(0, "sealed", "sealed", problems)
    other.read(0, "sealed", "sealed", problems[::-1])
    assert one.path.read_bytes() == other.path.read_bytes()


@pytest.mark.parametrize("line", [0, 1, 2])
@pytest.mark.parametrize("change", ["edit", "remove", "repeat"])
def test_a_change_is_found(ledger: Ledger, line: int, change: str) -> None:
    lines = ledger.path.read_text().splitlines()
    if change == "edit":
        lines[line] = lines[line].replace('"round": ', '"round": 7')
    elif change == "remove":
        del lines[line]
    else:
        lines.insert(line, lines[line])
    ledger.path.write_text("".join(text + "\n" for text in lines))
    with pytest.raises(DataError, match=r"ledger|mention"):
        ledger.check([(0, "evaluation"), (1, "evaluation"), (1, "gate")])


@given(cut=st.integers(1, 60))
def test_a_torn_last_line_is_taken_back(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("torn") / "ledger.jsonl")
    ledger.spend(1, "gate", 0.01)
    whole = ledger.path.read_bytes()
    ledger.spend(2, "gate", 0.01)
    both = ledger.path.read_bytes()
    ledger.path.write_bytes(both[: len(whole) + cut])
    assert len(ledger.entries()) == 1 and ledger.path.read_bytes() == whole
    ledger.spend(2, "gate", 0.01)
    assert ledger.path.read_bytes() == both


def test_a_forged_line_needs_the_right_hash(ledger: Ledger) -> None:
    entry = {**ledger.entries()[-1], "alpha": 0.0}
    lines = ledger.path.read_text().splitlines()
    ledger.path.write_text("\n".join([*lines[:-1], json.dumps(entry)]) + "\n")
    with pytest.raises(DataError, match="line 3"):
        ledger.entries()


def test_every_change_of_the_number_of_rounds_is_kept_in_order(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for rounds, added in ((8, None), (6, None), (8, None), (9, 1)):
        ledger.plan(4, rounds, added)
    plans = Ledger(tmp_path / "ledger.jsonl").plans()
    assert [plan["rounds"] for plan in plans] == [8, 6, 8, 9]
    assert [plan.get("added") for plan in plans] == [None, None, None, 1]


def test_a_ledger_of_many_values_is_refused_before_it_is_built(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_bytes(b'{"a":[' + b"0," * 2_000_000 + b"0]}\n")
    with pytest.raises(DataError, match="more than 2,000,000 values"):
        Ledger(tmp_path / "ledger.jsonl").entries()
