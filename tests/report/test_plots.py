"""Pictures say what the rows say, and the same rows give the same file."""

import re

import pytest

from selfimprove.errors import RecipeError
from selfimprove.report import plots

ROWS = [
    {"recipe": "surely_up", "gain": {"value": 0.12, "low": 0.08, "high": 0.16}},
    {"recipe": "never_finished", "gain": None},
    {"recipe": "perhaps_up", "gain": {"value": 0.01, "low": -0.02, "high": 0.04}},
]


def interval(value, half=0.04):
    return {"value": value, "low": value - half, "high": value + half}


SUMMARY = {
    "per_round": [
        {"round": 0, "champion/accuracy": interval(0.5)},
        {"round": 1, "champion/accuracy": interval(0.51), "candidate/accuracy": interval(0.62)},
        {"round": 2, "champion/accuracy": interval(0.63)},  # a round that an alarm ended before its exam
    ]
}


@pytest.mark.long
def test_a_leaderboard_shows_each_finished_recipe_and_marks_what_is_not_certain(tmp_path):
    plots.leaderboard(ROWS, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert "surely_up" in text and "perhaps_up" in text and "never_finished" not in text
    assert len(re.findall("stroke: #999999", text)) >= 1 and "fill: #1f77b4" in text


def test_the_same_rows_give_the_same_file(tmp_path):
    for name in ("a.svg", "b.svg"):
        plots.leaderboard(ROWS, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_rounds_of_two_runs_stand_in_one_picture(tmp_path):
    plots.rounds({"one": SUMMARY, "other": SUMMARY}, tmp_path / "rounds.svg")
    text = (tmp_path / "rounds.svg").read_text()
    assert "one: champion" in text and "other: champion" in text and "accuracy on fresh gate problems" in text


def test_rounds_judged_by_another_score_are_drawn_by_it(tmp_path):
    line = {"measure": "win_rate", "champion/win_rate": interval(0.5), "candidate/win_rate": interval(0.6)}
    plots.rounds({"one": {"per_round": [{"round": at, **line} for at in (0, 1)]}}, tmp_path / "rounds.svg")
    assert "win rate on fresh gate problems" in (tmp_path / "rounds.svg").read_text()


def test_an_ending_that_is_no_picture_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"use a name that ends in .svg, .png, .pdf"):
        plots.leaderboard(ROWS, tmp_path / "a.txt")


def test_without_matplotlib_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "available", lambda: False)
    with pytest.raises(RecipeError, match=r"pip install 'selfimprove\[plot\]'"):
        plots.rounds({"one": SUMMARY}, tmp_path / "a.svg")
