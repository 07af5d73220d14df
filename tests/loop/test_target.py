"""How many rounds a run goes to: what resume refuses, what it keeps for later, and what added rounds certify with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import RecipeError, StoppedError
from selfimprove.loop.begin import create
from selfimprove.loop.history import Stored
from selfimprove.loop.loop import Runner
from selfimprove.loop.target import settle, target
from selfimprove.trials import rehearsal

pytestmark = pytest.mark.long
FEW = ("gate_problems=60", "null_round=false", "audit_problems=0", "rounds=2")


@pytest.fixture(scope="module")
def load() -> Iterator[Any]:
    yield rehearsal.composer()


@pytest.fixture(scope="module")
def ended(load: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two rounds in which every round gains; both tests have .025."""
    scratch = tmp_path_factory.mktemp("ended")
    folder = create(str(rehearsal.write_recipe(scratch)), FEW, scratch / "run", load=load)
    Runner(folder, Watched(), load).run()
    return folder.root


@pytest.fixture
def copied(ended: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ended, tmp_path / "run", symlinks=True))


class Watched(rehearsal.Silent):
    def __init__(self, until: int = 99) -> None:
        self.notes, self.until = list[str](), until

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, number: int, stage: str) -> None:
        if number > self.until:
            raise KeyboardInterrupt


def run(root: Path, load: Any, *given: Any, until: int = 99, **named: Any) -> tuple[dict[str, Any], list[str]]:
    watched = Watched(until)
    return Runner(rehearsal.RunDir.open(root), watched, load).run(*given, **named), watched.notes


def files(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "LOCK"}


def test_fewer_rounds_than_are_done_change_nothing(copied: Path, load: Any) -> None:
    before = files(copied)
    for given, said in (
        ({"rounds": 1}, "--rounds 1 is too few: round 2 of"),
        ({"rounds": -1}, "--rounds -1 is too few"),
        ({"add": 0}, "--add 0 adds nothing"),
        ({"rounds": 3, "add": 1}, "give one of them"),
    ):
        with pytest.raises(RecipeError) as refused:
            run(copied, load, **given)
        assert said in str(refused.value)
    assert files(copied) == before
    assert run(copied, load, rounds=2)[0]["rounds"] == 2 and files(copied) == before


def test_the_goal_survives_a_stop_and_added_rounds_have_alpha(copied: Path, load: Any) -> None:
    watched = Watched(until=3)
    with pytest.raises(KeyboardInterrupt):
        Runner(rehearsal.RunDir.open(copied), watched, load).run(add=2)
    assert watched.notes[-1] == "the run goes to round 4; 0.05 of alpha 0.05 is left for the tests to come"
    stored = Stored(rehearsal.RunDir.open(copied), load)
    assert settle(stored, None, None) == settle(stored, None, 2) == (4, ""), "said again, it adds no more"
    summary, notes = run(copied, load)
    assert notes == [] and summary["rounds"] == 4 and summary["sealed"]["reads"] == 2
    assert [target(stored, number) for number in (1, 2, 3, 4)] == [2, 2, 4, 4]
    stored = Stored(rehearsal.RunDir.open(copied), load)
    levels = [stored.decision(number).statistics["alpha_r"] for number in (3, 4)]
    assert max(levels) > 0.01 and summary["loop"]["alpha_spent"] <= 0.05
    assert stored.ledger.plans()[0]["rounds"] == 4 and len(stored.ledger.plans()) == 1


def test_a_run_that_is_ended_early_and_goes_on_is_tested_on_other_problems(tmp_path: Path, load: Any) -> None:
    folder = create(str(rehearsal.write_recipe(tmp_path)), [*FEW, "rounds=3"], tmp_path / "run", load=load)
    with pytest.raises(KeyboardInterrupt):
        run(folder.root, load, until=1)
    assert run(folder.root, load, rounds=1)[0]["rounds"] == 1
    summary, notes = run(folder.root, load, rounds=3)
    assert summary["rounds"] == 3 and "0.05 of alpha 0.05 is left" in notes[-1]
    stored = Stored(folder, load)
    exams = [set(stored.report(number, "champion", "confirmation").scores) for number in (1, 3)]
    assert all(len(problems) == 60 for problems in exams) and not exams[0] & exams[1]
    assert [plan["rounds"] for plan in stored.ledger.plans()] == [1, 3]


def test_it_is_said_before_computing_that_nothing_can_be_certified(copied: Path, load: Any) -> None:
    watched = Watched(until=2)
    runner = Runner(rehearsal.RunDir.open(copied), watched, load)
    runner.stored.recipe.the("gate").left = lambda history: 0.0
    with pytest.raises(KeyboardInterrupt):
        runner.run(add=1)
    assert "nothing can be certified in the rounds to come" in watched.notes[0]
    assert watched.notes[0].endswith("start a new run with more rounds: selfimprove run rehearsal rounds=3")


def test_a_run_that_an_older_version_went_on_with_keeps_its_rounds(
    copied: Path, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = Stored(rehearsal.RunDir.open(copied), load)
    monkeypatch.setattr(stored.recipe, "rounds", 1)
    assert settle(stored, None, None) == (2, "") and target(stored, 2) == 2


def test_rounds_are_not_added_behind_a_rule_that_ended_the_run(copied: Path, load: Any) -> None:
    summary = json.loads((copied / "summary.json").read_text())
    (copied / "summary.json").write_text(json.dumps({**summary, "stopped": "plateau"}))
    with pytest.raises(StoppedError, match="a rule has ended .*: plateau. More rounds would end there too"):
        run(copied, load, add=1)
