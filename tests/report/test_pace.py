"""Hours of an estimate, by what the steps of a run took."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove.costs import Cost
from selfimprove.errors import DataError
from selfimprove.loop.loop import Runner
from selfimprove.recipe.cost import Estimate
from selfimprove.report import pace
from selfimprove.report.pace import PARTS, Part, expected, like, taken


@pytest.mark.parametrize(
    ("part", "planned", "took", "hours"),
    [
        ("data", Cost(completions=900), Part(Cost(completions=300), 1200.0), 1.0),
        ("training", Cost(steps=50, completions=7), Part(Cost(steps=100, completions=1), 7200.0), 1.0),
        ("training", Cost(completions=40), Part(Cost(completions=20), 1800.0), 1.0),
        ("audit", Cost(), Part(Cost(), 1800.0), 0.5),
    ],
)
def test_each_part_goes_at_its_own_pace(
    monkeypatch: pytest.MonkeyPatch, make_run: Callable, part: str, planned: Cost, took: Part, hours: float
) -> None:
    folder, _ = make_run()
    monkeypatch.setattr(pace, "taken", lambda _: {part: took})
    assert like(Estimate(parts={part: planned}), folder.root, "small").hours == pytest.approx(hours)
    with pytest.raises(DataError, match="is a run of small, not of star"):
        like(Estimate(parts={part: planned}), folder.root, "star")


def test_completions_are_expected_as_long_as_they_were() -> None:
    price = Estimate(parts={"data": Cost(completions=100, tokens=51200), "audit": Cost(completions=30, tokens=15360)})
    measured = {"data": Part(Cost(completions=10, tokens=70), 1.0), "audit": Part(Cost(completions=4, tokens=6), 1.0)}
    assert expected(price, measured).tokens == 100 * 7 + 30 * 1.5


def test_what_was_not_done_yet_has_no_pace(monkeypatch: pytest.MonkeyPatch, make_run: Callable) -> None:
    folder, _ = make_run()
    monkeypatch.setattr(pace, "taken", lambda _: {"exam": Part()})
    with pytest.raises(DataError, match="has finished no step of exam"):
        like(Estimate(parts={"exam": Cost(completions=1)}), folder.root, "small")
    with pytest.raises(DataError, match="recorded its completions"):
        taken(folder.root)


@pytest.mark.long
def test_a_run_is_counted_by_parts(make_run: Callable) -> None:
    folder, log = make_run("probe_problems=0", "gate=always")
    Runner(folder, log).run()
    found = taken(Path(folder.root))
    assert set(found) == set(PARTS.values())
    assert found["evaluation"].cost.completions == 3 * 100  # the start; it again, and the candidate
    assert found["data"].cost.completions == 20 * 4 and found["data"].seconds > 0
