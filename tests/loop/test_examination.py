"""The evaluation layer through the whole runner, with a model that is one number: the probability of a right answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove import registry
from selfimprove.errors import DataError
from selfimprove.loop import controls, examination
from selfimprove.loop.loop import Runner
from selfimprove.records import Alert, Prompt, Rollout
from selfimprove.report import alarms
from selfimprove.store.run_folder import RunDir
from selfimprove.trials import rehearsal

pytestmark = pytest.mark.runs

Made = Callable[..., Any]


def contents(root: Path) -> dict[str, bytes]:
    """Decisions, reports and ledger; what holds times is left out."""
    names = (
        "decision.json",
        "alerts.json",
        "next.json",
        "ledger.jsonl",
        "champion.json",
        "incumbent.json",
        "controls.json",
    )
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.name in names}


def test_a_gain_is_certified_a_round_late_and_the_last_one_by_confirmation(make_run: Made) -> None:
    folder, log = make_run("rounds=2")
    summary = Runner(folder, log).run()
    first, second = (summary["per_round"][number]["decision"] for number in (1, 2))
    assert (first["verdict"], first["certified"]) == ("accept", False)
    assert (second["verdict"], second["certified"]) == ("accept", True)
    assert (folder.root / "round_002/confirmation/decision.json").exists()
    assert summary["sealed"]["champion_round"] == 2 and summary["loop"]["certified"] == 2
    assert summary["loop"]["alpha_spent"] == pytest.approx(0.05)
    assert (folder.root / "champion").resolve() == folder.root / "round_002/optimization/model"


def test_what_is_learned_by_heart_shows_in_variants_of_the_audit_problems(
    make_run: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trained model knows the problems of the audit, and their variants less often than before."""
    others, plain = set[str](), examination._twin
    folder, log = make_run("audit_problems=30", "audit_samples=4", "variant_problems=20", "gate=always")
    student = registry.find("engine", "student").method
    usual = student.table

    def changed(*given: Any) -> list[Prompt]:
        made = plain(*given)
        others.update(one.key for one in made)
        return made

    def table(self: Any, prompt: Prompt, checkpoint: Any) -> dict[str, float]:
        known = rehearsal.skill_of(checkpoint) > 0.4 and prompt.key not in others
        right, wrong = usual(self, prompt, checkpoint)
        return {right: 0.9, wrong: 0.1} if known else {right: 0.3, wrong: 0.7}

    monkeypatch.setattr(examination, "_twin", changed)
    monkeypatch.setattr(student, "table", table)
    summary = Runner(folder, log).run()
    first, second = ((folder.root / f"round_00{number}/audit") for number in (0, 1))
    gaps = [json.loads((step / "diagnosis.json").read_text())["memorization"] for step in (first, second)]
    assert abs(gaps[0]["value"]) < 0.25 and 0.4 < gaps[1]["value"] < 0.8 and 10 < gaps[1]["n"] <= 20
    assert summary["per_round"][1]["diagnosis/memorization"] == gaps[1]["value"]
    assert [note for note in log.notes if note.startswith("memorization: audit problems are solved")]
    assert len((second / "variants.jsonl").read_text().splitlines()) == 4 * gaps[1]["n"]
    lines = [json.loads(line) for line in (folder.root / "ledger.jsonl").read_text().splitlines()]
    assert [line["n"] for line in lines if line.get("step") == "audit"] == [30 + gap["n"] for gap in gaps]


def test_an_audit_keeps_what_the_task_reads_in_references_and_samples(make_run: Made) -> None:
    folder, log = make_run("audit_problems=10")
    Runner(folder, log).run()
    samples = [json.loads(line) for line in (folder.root / "round_001/audit/audit.jsonl").read_text().splitlines()]
    for sample in samples:  # said as #6, for 6 alone is no answer of this task
        assert sample["info"]["reference"] == sample["prompt"]["answer"]
        assert (sample["info"]["answer"] == sample["info"]["reference"]) == sample["info"]["truth"]
    assert samples


def test_harm_is_never_certified_and_training_goes_on_from_the_start(make_run: Made) -> None:
    folder, log = make_run("rounds=3", "optimization.practice.gain=-0.15", start=0.7)
    summary = Runner(folder, log).run()
    assert summary["sealed"]["champion_round"] == 0 and summary["loop"]["certified"] == 0
    assert not (folder.root / "round_003/confirmation").exists()
    assert summary["verdict"].startswith("no significant gain")


def test_every_read_stands_in_the_ledger_and_no_gate_problem_is_read_twice(make_run: Made) -> None:
    folder, log = make_run("rounds=2")
    Runner(folder, log).run()
    entries = [json.loads(line) for line in (folder.root / "ledger.jsonl").read_text().splitlines()]
    read = [(entry["round"], entry["step"]) for entry in entries if "split" in entry]
    assert read == [
        *((0, "evaluation"), (0, "audit"), (1, "evaluation"), (1, "audit"), (2, "evaluation"), (2, "audit")),
        *((2, "confirmation"), (2, "sealed")),
    ]
    spent = [(entry["round"], entry["step"]) for entry in entries if "alpha" in entry]
    assert spent == [(1, "gate"), (2, "gate"), (2, "confirmation")]
    forms = [
        set(json.loads(path.read_text())["scores"])
        for path in sorted(folder.root.glob("round_*/*/champion.json"))
        if path.parent.name in ("evaluation", "confirmation")
    ]
    assert len(forms) == 4 and len(set().union(*forms)) == sum(map(len, forms))


@pytest.mark.faults
@pytest.mark.parametrize(
    "step", ["round_002/confirmation", "round_002/gate", "round_001/audit", "round_002/evaluation"]
)
def test_a_step_that_is_done_again_gives_the_same_decisions_and_ledger(make_run: Made, step: str) -> None:
    folder, log = make_run("rounds=2")
    Runner(folder, log).run()
    before = contents(folder.root)
    shutil.rmtree(folder.root / step)
    Runner(RunDir.open(folder.root), log).run()
    assert contents(folder.root) == before


def test_every_round_is_diagnosed_from_its_audit_and_a_run_without_one_is_not(make_run: Made) -> None:
    folder, log = make_run("rounds=1", "optimization.practice.gain=0.3")
    start, first = (line["diagnosis"] for line in Runner(folder, log).run()["per_round"])
    assert start["change"] is None and first["change"] == "learning"
    assert 0.2 < start["ladder"]["pass@1"] < 0.4 < first["ladder"]["pass@1"] < first["ladder"]["pass@8"]
    assert {said["name"] for said in start["verdicts"]} >= {"POSSIBLE"}
    line = json.loads((folder.root / "metrics.jsonl").read_text().splitlines()[1])
    assert line["diagnosis/pass@1"] == first["ladder"]["pass@1"]
    folder, log = make_run("rounds=1", "audit_problems=0", name="blind")
    assert [line["diagnosis"] for line in Runner(folder, log).run()["per_round"]] == [{}, {}]


def test_a_gain_is_compared_with_as_many_votes_of_the_start_and_with_a_null_round(make_run: Made) -> None:
    folder, log = make_run("rounds=5", "null_round=true", "control_problems=60", "optimization.practice.gain=0.1")
    summary = Runner(folder, log).run()
    found = summary["sealed"]["controls"]
    # 5 rounds x 20 problems x 4 samples are four completions for each of the 100 sealed problems
    assert found["samples"] == found["drawn"] == 4 and found["problems"] == 60
    scores = {
        who: json.loads((folder.root / f"round_005/sealed/{who}.json").read_text()) for who in ("start", "champion")
    }
    for who, report in scores.items():
        assert found[who]["value"] == pytest.approx(sum(list(report["scores"].values())[:60]) / 60)
    gain = found["champion"]["value"] - found["votes"]["value"]
    assert found["over_votes"]["value"] == pytest.approx(gain)
    trained = json.loads((folder.root / "round_005/null/model/config.json").read_text())
    assert trained == {"skill": 0.4}  # one round from the start; `practice` learns whatever the rewards say
    assert found["null"]["value"] == pytest.approx(0.1, abs=0.2)
    before = contents(folder.root)
    shutil.rmtree(folder.root / "round_005/null")
    Runner(RunDir.open(folder.root), log).run()
    assert contents(folder.root) == before


def test_a_run_that_drew_nothing_has_no_control(make_run: Made) -> None:
    folder, log = make_run("rounds=0")
    assert Runner(folder, log).run()["sealed"]["controls"] == {}


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12), st.integers(0, 99))
def test_shuffling_moves_scores_between_rollouts_that_have_one(scores: list[float | None], seed: int) -> None:
    prompt = Prompt(prompt=[{"role": "user", "content": "1+1="}], key="1+1")
    records = [
        Rollout(prompt=prompt, completion=[{"role": "assistant", "content": str(i)}], reward=score)
        for i, score in enumerate(scores)
    ]
    dealt = controls.shuffled(records, seed)
    assert [r.text for r in dealt if isinstance(r, Rollout)] == [r.text for r in records]
    changed = [r.reward for r in dealt if isinstance(r, Rollout)]
    assert [score is None for score in changed] == [score is None for score in scores]
    assert sorted(s for s in changed if s is not None) == sorted(s for s in scores if s is not None)


@pytest.mark.faults
@pytest.mark.parametrize("line", [0, 3, -1])
def test_a_run_whose_ledger_was_changed_is_not_continued(make_run: Made, line: int) -> None:
    folder, log = make_run()
    Runner(folder, log).run()
    lines = (folder.root / "ledger.jsonl").read_text().splitlines(keepends=True)
    del lines[line]
    (folder.root / "ledger.jsonl").write_text("".join(lines))
    with pytest.raises(DataError, match=r"ledger\.jsonl"):
        Runner(RunDir.open(folder.root), log).run()


def test_a_used_up_pool_of_gate_problems_ends_the_run_and_the_exam_is_held(make_run: Made) -> None:
    digits = ["task.chain_sums.min_length=2", "task.chain_sums.max_length=2", "task.chain_sums.modulus=5"]
    folder, log = make_run("rounds=3", "gate_problems=4", "probe_problems=0", "audit_problems=0", *digits)
    summary = Runner(folder, log).run()
    assert "no unread gate problem is left" in summary["stopped"] and summary["rounds"] < 3
    assert summary["sealed"]["n"] > 0


def test_too_few_problems_are_named_with_what_they_can_show(make_run: Made) -> None:
    folder, log = make_run("gate_problems=30")
    Runner(folder, log).run()
    assert any("30 gate problems detect gains of" in note and "raise gate_problems" in note for note in log.notes)


@pytest.mark.parametrize(
    ("gate", "word", "champion"), [("always", "alarm", 1), ("keep_best", "veto", 0), ("paired_test", "veto", 0)]
)
def test_a_run_says_veto_only_where_its_gate_vetoes(
    make_run: Made, monkeypatch: pytest.MonkeyPatch, gate: str, word: str, champion: int
) -> None:
    from selfimprove.methods.alarm.length import Length

    grave = Alert(alarm="length", level=2, text="too long")
    monkeypatch.setattr(Length, "check", lambda self, evidence: [grave])
    folder, log = make_run(f"gate={gate}", "alarm=[length]", "audit_problems=10", "optimization.practice.gain=0.5")
    summary = Runner(folder, log).run()
    assert alarms.lines(log.rounds[-1], 100) == [f"! round 1 length, {word}: too long"]
    assert summary["sealed"]["champion_round"] == champion


def test_a_selection_cannot_smuggle_held_out_problems_into_training(
    make_run: Made, monkeypatch: pytest.MonkeyPatch, make_rollout: Callable
) -> None:
    from selfimprove.problems.splits import split_of

    held_out = next(
        key for key in (f"{a}+{b}+{c}" for a in range(9) for b in range(9) for c in range(9)) if split_of(key) == "gate"
    )
    folder, log = make_run()
    runner = Runner(folder, log)
    [chain] = [runner.stored.recipe.selection]
    method = chain["threshold"]
    plain = method.select
    monkeypatch.setattr(
        method, "select", lambda records, context: [*plain(records, context), make_rollout("#1", held_out)]
    )
    runner.run()
    kept = (folder.root / "round_001/selection/output.jsonl").read_text()
    assert held_out not in kept and any("held-out" in note for note in log.notes)
