"""A run on screen while it goes on: its head, its rows as they come, notes, and the live line."""

from __future__ import annotations

import io
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from selfimprove.loop.clock import Clock
from selfimprove.report import bar, letters
from selfimprove.report.importing import Importing
from selfimprove.report.terminal import Screen, Title
from tests.report.test_rows import line_of


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are as wide as where nobody says how wide they are."""
    monkeypatch.delenv("COLUMNS", raising=False)


def test_a_log_has_the_head_once_and_a_row_for_each_round() -> None:
    said = io.StringIO()
    with Screen(Console(file=said), Title("quickstart", 0, "runs/quickstart", "exact")) as screen:
        screen.goal(2)
        screen.step(0, "model")
        screen.note("start model taken from the cache")
        screen.round(line_of("", 0))
        screen.round(line_of("accept", 1, b=62, c=14))
        screen.round(line_of("accept", 2, certified=True, b=66, c=7))
        decision = {"verdict": "hold", "certified": True, "reason": "", "statistics": {"incumbent": {"b": 3, "c": 1}}}
        screen.confirmation(
            {"decision": decision, "trial": 2, "champion": 0.5, "incumbent": 0.7, "seconds": 1.0, "name": "last"}
        )
    lines = said.getvalue().splitlines()
    assert lines[:5] == [
        "quickstart, seed 0   2 rounds   runs/quickstart   repeats exactly on this machine",
        "",
        "building the start model ...",
        "building the start model: start model taken from the cache",
        "round  champion  candidate   kept  right    time  verdict, with problems gained:lost in its test",
    ]
    assert [line[50:] for line in lines[6:]] == [
        "round 1 on trial 62:14",
        "round 1 certified 59:15, round 2 on trial 66:7",
        "round 2 certified 3:1",
    ]
    assert said.getvalue().isascii()


def test_verbose_says_what_lies_behind_a_row() -> None:
    said = io.StringIO()
    line = line_of("accept", 1, b=62, c=14, alerts=[{"alarm": "length", "level": 1, "text": "long, p = 0.04"}])
    line["diagnosis"] = {"verdicts": [{"text": "POSSIBLE(by votes): ..."}]}
    Screen(Console(file=said), verbose=True).round(line)
    told = said.getvalue()
    for part in (
        "0.7 against 0.5",
        "length, level 1: long, p = 0.04",
        "POSSIBLE(by votes)",
        "acquisition 2.0, model 4.0",
    ):
        assert part in told


def test_a_round_of_a_resumed_run_says_whose_model_is_on_trial() -> None:
    said = io.StringIO()
    Screen(Console(file=said)).round({**line_of("reject", 9, certified=True, b=1, c=2), "trial": 7})
    assert "round 7 certified 59:15, round 9 not better 1:2" in said.getvalue()


@pytest.mark.parametrize("columns", [100, 79, 60, 46])
def test_the_live_line_fits_and_says_what_is_left(columns: int) -> None:
    course = bar.Course(began=0.0, rounds=5, number=2, finished=30.0, took=[6.0, 8.0])
    work = bar.Work("round 3 training", 32.0, 17, 40, "steps", 13.0)
    line = bar.line(work, course, 34.0, columns).plain
    assert len(line) <= columns and "17/40 steps, 13/s, 2 s left" in line
    if columns == 100:
        assert line.endswith("run 34 s, 17 s to go and the exam") and "━━" in line
    assert bar.line(bar.Work("round 1 drawing samples", 0.0), None, 3.0, 100).plain == "round 1 drawing samples ... 3 s"


def test_a_unit_keeps_its_rate_while_another_one_takes_turns_with_it() -> None:
    clock = Clock()
    assert clock.rate(0, "steps", clock.last) == 0.0
    began = clock.last
    assert clock.rate(10, "steps", began + 1) == 10.0
    assert clock.rate(0, "samples", began + 5) == 0.0
    assert clock.rate(20, "steps", began + 6) == 10.0


def test_an_import_is_told_when_it_begins_and_current_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[str]()
    with Importing(told.append) as importing:
        assert importing in sys.meta_path
        importing.find_spec("torch")
        importing.find_spec("torch.nn")
        importing.find_spec("json")
        module: Any = ModuleType("torch")
        module.__spec__ = SimpleNamespace()
        vars(module.__spec__)["_initializing"] = True
        monkeypatch.setitem(sys.modules, "torch", module)
        assert importing.current == "torch"
        vars(module.__spec__)["_initializing"] = False
        assert importing.current == ""
    assert told == ["torch"] and importing not in sys.meta_path


def test_signs_and_colours_need_a_terminal_in_utf_8_that_does_not_refuse_colours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    good = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), force_terminal=True, width=120)
    ascii_only = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), force_terminal=True)
    piped = Console(file=io.StringIO())
    assert [letters.fancy(one) for one in (good, ascii_only, piped)] == [True, False, False]
    assert not letters.fancy(Console(file=good.file, force_terminal=True, no_color=True))
    assert letters.width(good) == letters.width(piped) == 100
    assert letters.fitted("a → b ±1 ≤ 2", piped) == "a -> b +-1 <= 2"
    assert [letters.duration(one) for one in (6.31, 310, 2400, 9000)] == ["6.3s", "310s", "40min", "2.5h"]
