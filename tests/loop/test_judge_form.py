"""No judge selects data before it passes its audit form: whole runs, with judges whose worth is known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from selfimprove import registry
from selfimprove.errors import DataError, RecipeError
from selfimprove.interfaces import Context, Judging
from selfimprove.loop.loop import Runner
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.trials import rehearsal

pytestmark = pytest.mark.runs

Made = Callable[..., Any]
COMMON = ("engine=pupil", "optimization.practice.gain=0.1", "audit_problems=60", "audit_samples=4", "probe_problems=0")


@pytest.fixture
def school(make_run: Made, classroom: Callable, task: Any) -> Made:
    """`school("reward.judge.frozen=false", tpr=0.9, fpr=0.2)`: a run whose model solves as `student` does and judges
    so.

    `worse` is added to fpr in each round of training. Also here: the planted judges `agreeable` and `longest`.
    """

    @registry.register("pupil")
    @dataclass
    class Pupil(rehearsal.Student):
        tpr: float = 0.9
        fpr: float = 0.2
        worse: float = 0.0
        asked: list[str] = field(default_factory=list)

        def table(self, prompt: Prompt, checkpoint: Checkpoint) -> dict[str, float]:
            skill, text = rehearsal.skill_of(checkpoint), prompt.prompt[-1]["content"]
            if not text.startswith("J:"):
                return classroom([prompt], skill)[text]
            right = task.answer_of(text.removesuffix("|")) == str(sum(map(int, prompt.key.split("+"))) % 10)
            yes = self.tpr if right else min(1.0, self.fpr + self.worse * round((skill - 0.5) / 0.1))
            self.asked.append(Path(checkpoint.path).name)
            return {"#y": yes, "#n": 1 - yes}

    def planted(name: str, score: Callable[[Rollout], float | None]) -> None:
        @registry.register(name)
        @dataclass
        class Planted(Judging):
            frozen: bool = False

            def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
                return [[score(rollout) for rollout in group] for group in groups]

    planted("agreeable", lambda rollout: 1.0)
    planted("longest", lambda rollout: len(rollout.text) / 40)
    planted("mute", lambda rollout: None)

    def make(*overrides: str, name: str = "run", **values: float) -> tuple[Any, Any]:
        given = [f"engine.pupil.{key}={value}" for key, value in values.items()]
        own = [] if any(value.startswith("reward=") for value in overrides) else ["reward=judge"]
        return make_run(*COMMON, *own, *given, *overrides, start=0.5, name=name)

    return make


def form_of(folder: Any, number: int) -> dict[str, Any]:
    return json.loads((folder.root / f"round_{number:03}/audit/judge.json").read_text())["judge"]


def test_a_judge_that_passes_selects_data_and_its_form_is_kept(school: Made) -> None:
    folder, log = school("rounds=2", "reward.judge.samples=1")
    summary = Runner(folder, log).run()
    assert summary["rounds"] == 2 and not any("judge" in note for note in log.notes)
    for number in (0, 1, 2):
        found, line = form_of(folder, number), summary["per_round"][number]
        assert found["fault"] == "" and found["judge"] == found["start"] and found["judge"]["unread"] == 0
        assert found["judge"]["tpr"] == pytest.approx(0.9, abs=0.08)
        assert found["judge"]["fpr"] == pytest.approx(0.2, abs=0.1)
        assert line["judge/youden"] == found["judge"]["youden"]["value"] > 0.5 and line["judge/passed"] == 1.0
        assert line["judge/youden_drift"] == 0.0
    rates = [summary["per_round"][1][f"judge/corrected_rate/{part}"] for part in ("low", "value", "high")]
    assert rates == sorted(rates) and rates[0] <= 0.5 <= rates[2]  # what 20 problems say of the skill of round 0
    precision = summary["per_round"][1]["selection/label_precision"]
    assert 0.6 < precision < 0.97  # the judge's word was taken: 0.9 of the right ones and 0.2 of the wrong


@pytest.mark.parametrize("bad", ["agreeable", "longest", "mute"])
def test_a_planted_judge_is_refused_before_it_selects_anything(school: Made, bad: str) -> None:
    folder, log = school(f"reward={bad}")
    with pytest.raises(DataError) as refused:
        Runner(folder, log).run()
    text = str(refused.value)
    assert text.startswith(f"reward {bad} may not select data, because it failed its audit form in round 0: ")
    assert "\n" not in text and "You can use another reward" in text and "resume" not in text
    assert text.endswith(f"start a new run with reward.{bad}.trust=true to use the judge anyway")
    told = {"agreeable": "1.00 - 1.00 = 0.00", "longest": "which must be above 0.1; the AUC within a problem is 0.50"}
    assert told.get(bad, "judgements of 0 right and 0 wrong attempts (240 unread)") in text
    assert not (folder.root / "round_001/acquisition").exists()


def test_a_judge_of_the_model_that_says_yes_to_all_is_refused(school: Made) -> None:
    folder, log = school(tpr=1.0, fpr=1.0)
    with pytest.raises(DataError, match=r"start a new run with reward\.judge\.trust=true to use the judge anyway"):
        Runner(folder, log).run()


def test_a_trusted_judge_goes_on_and_the_run_says_so(school: Made) -> None:
    folder, log = school("reward.judge.trust=true", tpr=1.0, fpr=1.0)
    summary = Runner(folder, log).run()
    assert any(
        note.startswith("reward judge is trusted although it failed its audit form in round 0") for note in log.notes
    )
    assert [alert["level"] for alert in summary["loop"]["alerts"] if alert["alarm"] == "judge"] == [1]
    assert summary["per_round"][1]["judge/passed"] == 0.0


def test_a_judge_that_only_watches_need_not_pass(school: Made) -> None:
    folder, log = school("reward=[verifier,judge]", "reward.judge.weight=0", tpr=1.0, fpr=1.0)
    summary = Runner(folder, log).run()
    assert summary["rounds"] == 1 and summary["per_round"][1]["judge/passed"] == 0.0


def test_the_bounds_are_options(school: Made) -> None:
    folder, log = school("reward.judge.min_youden=0.8")
    with pytest.raises(DataError, match="which must be above 0.8"):
        Runner(folder, log).run()


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_judge_costs_nothing_beside_the_audit(school: Made, frozen: bool) -> None:
    folder, log = school(f"reward.judge.frozen={str(frozen).lower()}", "rounds=2")
    runner = Runner(folder, log)
    runner.run()
    asked = runner.stored.recipe.the("engine").asked
    audits = len({folder for folder in asked if folder != "model"})
    assert set(asked) == ({"start-0.5"} if frozen else {"start-0.5", "model"}) and audits <= 1


def test_a_judge_that_is_trained_to_please_is_vetoed_and_never_judges(school: Made) -> None:
    """Each round of training it takes 40 points more of the wrong attempts for right."""
    folder, log = school("reward.judge.frozen=false", "rounds=3", worse=0.4, tpr=0.95, fpr=0.15)
    summary = Runner(folder, log).run()
    alerts = [(a["round"], a["level"]) for a in summary["loop"]["alerts"] if a["alarm"] == "judge"]
    assert (1, 1) in alerts, "worse than the frozen copy, and passed"
    assert (2, 2) in alerts and form_of(folder, 2)["fault"], "no longer passes"
    assert summary["per_round"][2]["decision"]["verdict"] == "rollback"
    assert summary["per_round"][2]["judge/youden_drift"] < -0.5
    assert form_of(folder, 2)["start"]["youden"]["value"] > 0.6


def test_without_the_alarm_the_next_round_is_refused_and_the_exam_can_be_held(school: Made) -> None:
    quiet = "alarm=[length]"
    folder, log = school("reward.judge.frozen=false", "rounds=3", quiet, worse=0.9, tpr=0.95, fpr=0.1)
    with pytest.raises(DataError, match=r"its audit form in round 1: .*selfimprove resume .* --rounds 1$"):
        Runner(folder, log).run()
    summary = Runner(folder, log).run(rounds=1)
    assert summary["rounds"] == 1 and summary["sealed"]["n"] == 100


def test_where_the_model_makes_too_few_mistakes_to_test_its_judge_the_run_ends_with_its_exam(school: Made) -> None:
    folder, log = school("reward.judge.frozen=false", "rounds=3", "optimization.practice.gain=0.48")
    summary = Runner(folder, log).run()
    assert (summary["rounds"], summary["sealed"]["n"]) == (1, 100)
    said = (
        r"^reward judge cannot be tested on the audit of round 1 for round 2: judgements of \d+ right and \d wrong .*"
    )
    assert re.match(said, summary["stopped"])
    files = rehearsal.contents(folder.root)
    Runner(folder, log).run()
    assert rehearsal.contents(folder.root) == files


def test_without_alarms_a_judge_is_audited_all_the_same(school: Made) -> None:
    folder, log = school("alarm=[]")
    Runner(folder, log).run()
    assert form_of(folder, 1)["fault"] == ""


@pytest.mark.parametrize("sizes", [("audit_problems=0",), ("audit_problems=9",), ("audit_samples=1",)])
def test_an_audit_that_no_judge_can_pass_is_refused_before_a_model_is_loaded(school: Made, sizes: tuple) -> None:
    with pytest.raises(RecipeError, match="reward 'judge' must pass an audit form"):
        school(*sizes)
    school(*sizes, "reward.judge.trust=true", name="trusted")
    school(*sizes, "reward=verifier", name="verified")


def test_the_gate_s_marks_are_the_task_s_whatever_the_judge_says(school: Made, task: Any) -> None:
    folder, log = school("reward.judge.trust=true", tpr=0.0, fpr=1.0)
    Runner(folder, log).run()
    for who in ("champion", "candidate"):
        stored = Runner(folder, log).stored.report(1, who)
        marks = {r.prompt.key: task.verify(r.prompt, r.text) for r in stored.rollouts}
        assert marks and stored.scores == marks


def test_a_recipe_without_a_judge_has_no_form(make_run: Made) -> None:
    folder, log = make_run()
    Runner(folder, log).run()
    assert not list(folder.root.rglob("judge.json")) and not any("judge" in name for name in log.metrics)
