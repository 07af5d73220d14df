"""What a loop may do by itself: measure, ask, decide, adapt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from selfimprove import registry
from selfimprove.errors import RecipeError, WaitingError
from selfimprove.interfaces import Controller
from selfimprove.loop.loop import Runner
from selfimprove.rounds import Round, Stop
from selfimprove.store.run_folder import RunDir

pytestmark = pytest.mark.runs

GAIN = "optimization.practice.gain"


@pytest.fixture
def make_adapted(make_run: Callable[..., Any]) -> Callable[..., Any]:
    """`make_run` with a controller that wants a gain of 0.1 in the next round, and a gain of 0.3 in the first."""

    @registry.register("pusher")
    @dataclass
    class Pusher(Controller):
        stop_after: int = 9

        def next(self, history: Sequence[Round], settings: dict[str, Any]) -> dict[str, Any] | Stop:
            return Stop(reason="enough") if len(history) > self.stop_after else {GAIN: 0.1}

    def make(*overrides: str, name: str = "run") -> Any:
        return make_run("rounds=2", "controller=pusher", f"{GAIN}=0.3", *overrides, name=name)

    return make


def gains(root: Any) -> list[float]:
    """The skill of each round's model; the start has 0.3."""
    import json

    paths = sorted(root.glob("round_*/optimization/model/config.json"))
    return [round(json.loads(path.read_text())["skill"], 6) for path in paths]


def test_at_level_3_decisions_and_overrides_take_effect(make_adapted: Callable[..., Any]) -> None:
    folder, log = make_adapted("autonomy=3")
    summary = Runner(folder, log).run()
    assert gains(folder.root) == [0.6, 0.7] and summary["sealed"]["champion_round"] == 2


def test_at_level_2_the_recipe_stays_as_it_is(make_adapted: Callable[..., Any]) -> None:
    folder, log = make_adapted("autonomy=2")
    summary = Runner(folder, log).run()
    assert gains(folder.root) == [0.6, 0.9] and summary["sealed"]["champion_round"] == 2
    assert any("not applied at autonomy 2" in note and GAIN in note for note in log.notes)


def test_at_level_0_every_round_is_measured_and_the_start_stays(make_adapted: Callable[..., Any]) -> None:
    folder, log = make_adapted("autonomy=0")
    summary = Runner(folder, log).run()
    assert gains(folder.root) == [0.6, 0.6] and summary["sealed"]["champion_round"] == 0
    decisions = [line["decision"] for line in summary["per_round"][1:]]
    assert [decision["verdict"] for decision in decisions] == ["hold", "hold"]
    assert decisions[0]["reason"].startswith("accept proposed, not applied: ")


def test_a_controller_may_stop_at_every_level(make_adapted: Callable[..., Any]) -> None:
    folder, log = make_adapted("autonomy=0", "controller.pusher.stop_after=1")
    assert Runner(folder, log).run()["stopped"] == "enough"


@pytest.mark.faults
def test_at_level_1_each_round_waits_and_an_approved_run_is_that_of_level_3(make_adapted: Callable[..., Any]) -> None:
    free, log = make_adapted("autonomy=3", name="free")
    Runner(free, log).run()
    folder, log = make_adapted("autonomy=1")
    said: list[str] = []
    answer = None
    for _ in range(3):  # two rounds, and the confirmation of the second
        with pytest.raises(WaitingError) as waiting:
            Runner(RunDir.open(folder.root), log).run(answer=answer)
        said.append(str(waiting.value))
        answer = True
    assert said[0].startswith("round 1 waits for your answer: accept proposed, not applied: ")
    assert f"for the next round: {GAIN}=0.1" in said[0] and "selfimprove resume" in said[0] and "--approve" in said[0]
    assert said[1].startswith("round 2 waits for you") and said[2].startswith("round 2 waits for you")
    summary = Runner(RunDir.open(folder.root), log).run(answer=True)
    assert gains(folder.root) == gains(free.root) == [0.6, 0.7] and summary["sealed"]["champion_round"] == 2


def test_what_is_rejected_is_dropped_and_asking_again_waits_again(make_adapted: Callable[..., Any]) -> None:
    folder, log = make_adapted("autonomy=1")
    for answer in (None, None, False):
        with pytest.raises(WaitingError):
            Runner(RunDir.open(folder.root), log).run(answer=answer)
    assert gains(folder.root) == [0.6, 0.6]  # neither the candidate nor the smaller gain was taken over
    summary = Runner(RunDir.open(folder.root), log).run(answer=False)
    assert summary["sealed"]["champion_round"] == 0
    with pytest.raises(RecipeError, match="does not wait for an answer"):
        Runner(RunDir.open(folder.root), log).run(answer=True)


@pytest.mark.faults
def test_an_answer_cannot_be_changed_behind_the_ledger(make_adapted: Callable[..., Any]) -> None:
    folder, log = make_adapted("autonomy=1")
    for answer in (None, False):
        with pytest.raises(WaitingError):
            Runner(RunDir.open(folder.root), log).run(answer=answer)
    path = folder.root / "ledger.jsonl"
    path.write_text(path.read_text().replace('"approved": false', '"approved": true'))
    with pytest.raises(Exception, match="the ledger was changed"):
        Runner(RunDir.open(folder.root), log).run()
