"""The page of a run: hand-worked parts, what strangers write stays text, and nothing of this machine is on it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.loop.loop import Runner
from selfimprove.report.page import numbers, page
from selfimprove.report.page.chart import _ticks
from selfimprove.report.page.markup import Html, escaped, joined, tag
from selfimprove.report.page.recipe import placeless
from selfimprove.report.page.samples import _marked, chosen


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("b", "1 < 2", tag("i", "x"), title='"') == '<b title="&quot;">1 &lt; 2<i>x</i></b>'
    assert (
        tag("input", id="a", checked=True, disabled=False, class_=None, data_l="v")
        == '<input id="a" checked data-l="v">'
    )
    assert joined(["<", Html("<")]) == "&lt;<"


@pytest.mark.parametrize("strange", ["\x00", "\x1b", "\u202e", "\u2066", "\x85", "\ud800", "\ufeff"])
def test_what_steers_a_display_is_replaced(strange: str) -> None:
    assert escaped(f"a{strange}b\n\t") == "a\ufffdb\n\t"


def test_numbers_read_as_words() -> None:
    assert numbers.count(521784) == "521\u202f784" and numbers.signed(-0.005) == "\u22120.5"
    assert [numbers.percent(value) for value in (1.0, 0.9999, 0.714)] == ["100 %", "99 %", "71 %"]
    assert [numbers.p_value(p) for p in (1e-9, 0.00053)] == ["p < 1e-6", "p = 0.00053"]
    assert [numbers.time(seconds) for seconds in (6.25, 310.0, 2400.0, 9000.0)] == ["6.2 s", "310 s", "40 min", "2.5 h"]


@pytest.mark.parametrize(("low", "high"), [(0.47, 0.87), (0.5, 0.5), (0.0, 1.0), (-30.0, 400.0)])
def test_ticks_are_round_and_hold_the_range(low: float, high: float) -> None:
    ticks = _ticks(low, high)
    assert ticks[0] <= low and high <= ticks[-1] and 3 <= len(ticks) <= 10


def test_of_many_rounds_some_show_samples() -> None:
    assert chosen([1, 2, 3]) == [1, 2, 3]
    some = chosen(range(1, 201))
    assert len(some) == 12 and some[0] == 1 and some[-1] == 200


def test_a_long_text_is_shown_around_the_place_where_it_differs() -> None:
    assert _marked("abcdef", 4, 100) == ["", "abcd", "<mark>ef</mark>", ""]
    before, same, rest, after = _marked("x" * 900 + "DIFFERENT" + "y" * 900, 900, 100)
    assert before == "… 850 characters …" and len(same) == 50 and rest.startswith("<mark>DIFFERENT") and after


def test_paths_of_this_machine_lose_their_folders() -> None:
    told = {"task": {"jsonl": {"path": "/home/me/data.jsonl", "rules": ["~/x/y", "plain"], "n": 3}}}
    assert placeless(told) == {"task": {"jsonl": {"path": ".../data.jsonl", "rules": [".../y", "plain"], "n": 3}}}


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Path:
    folder, log = make_run("rounds=2", "gate_problems=40", "sealed_problems=40")
    Runner(folder, log).run()
    return folder.root


@pytest.mark.long
def test_the_page_of_a_run_has_all_sections_the_same_bytes_and_nothing_of_this_machine(
    run: Path, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    page.write([run], file)
    text = file.read_text()
    assert len(text) < 300_000 and text.startswith("<!doctype html>")
    assert all(f'id="{name}"' in text for name in page.SECTIONS)
    assert f'content="{page.POLICY}"' in text and "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!#)', text) and "url(" not in text and "@import" not in text
    for secret in (str(tmp_path), os.uname().nodename, str(Path.home()), f"pid {os.getpid()}"):
        assert secret not in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    for link in re.findall(r'href="#([^"]+)"', text):
        assert link in ids
    page.write([run], tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == file.read_bytes()

    page.write([run], file, public=True)
    assert 'id="samples"' not in file.read_text() and "S:" not in file.read_text()
    page.write([run, run], file)
    both = re.findall(r' id="([^"]+)"', file.read_text())
    assert len(both) == len(set(both)) == 2 * len(ids) + 1 and "verdicts" in both

    (run / "summary.json").unlink()
    page.write([run], file)
    text = file.read_text()
    assert "Not finished" in text and "selfimprove resume runs/run" in text
