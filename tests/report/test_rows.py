"""The rounds as rows: whose model became what, in words that do not contradict each other, within the columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfimprove.report import rows, verdicts
from selfimprove.report.rows import Row

HALF = {"value": 0.5, "low": 0.46, "high": 0.54, "n": 500}


def line_of(verdict: str = "", number: int = 2, certified: bool = False, alerts: Any = (), **numbers: Any) -> Any:
    line: dict[str, Any] = {"round": number, "champion/accuracy": HALF, "seconds": {"acquisition": 2.0, "model": 4.0}}
    if not verdict:
        return line
    if certified:
        numbers["incumbent"] = {"b": 59, "c": 15, "p": 1e-7}
    return {
        **line,
        "candidate/accuracy": {**HALF, "value": 0.7},
        "decision": {"verdict": verdict, "reason": "0.7 against 0.5", "certified": certified, "statistics": numbers},
        "alerts": list(alerts),
        "selection/kept": 494,
        "selection/label_precision": 1.0,
    }


def shown(row: Row, columns: int = 100, fancy: bool = True) -> list[str]:
    return [text.plain for text in rows.lines(row, columns, fancy)]


def test_a_row_has_the_scores_what_was_kept_and_what_became_of_both_models() -> None:
    assert rows.head(100) == [
        "round  champion  candidate   kept  right    time  verdict, with problems gained:lost in its test"
    ]
    assert shown(rows.of_round(line_of("accept", certified=True, b=66, c=7), trial=1)) == [
        "    2     0.500      0.700    494   100%    6.0s  round 1 certified 59:15, round 2 on trial 66:7"
    ]
    assert shown(rows.of_round(line_of(), 0)) == [
        "start     0.500          -      -      -    6.0s  ±0.040 on each round's 500 new problems"
    ]


def test_under_80_columns_a_row_is_a_short_line_and_at_80_its_verdict_takes_two() -> None:
    row = rows.of_round(line_of("accept", certified=True, b=66, c=7), 1)
    assert not rows.head(79) and rows.head(80)[0].endswith("verdict, gained:lost")
    assert shown(row, 79) == ["round 2  0.50 → 0.70     6.0s  round 1 ✓ 59:15, round 2 ◇ 66:7"]
    assert shown(row, 79, fancy=False) == ["round 2  0.50 -> 0.70    6.0s  round 1 + 59:15, round 2 ? 66:7"]
    assert [one[50:] for one in shown(row, 80)] == ["round 1 certified 59:15,", "round 2 on trial 66:7"]


ALERTS = [
    {"alarm": "length", "level": 1, "text": "long"},
    {"alarm": "forgetting", "level": 2, "text": "level/5 fell by 6.6 points against the champion, p = 8.4e-05"},
    {"alarm": "forgetting", "level": 2, "text": "level/6 fell"},
]


@pytest.mark.parametrize("verdict", ["rollback", "reject"])
def test_a_veto_is_named_once_and_each_alarm_has_one_line_above_the_row(verdict: str) -> None:
    row = rows.of_round(line_of(verdict, alerts=ALERTS, fallen=["probe/taught"], b=17, c=80), 0)
    first, second, *rest = shown(row)
    assert first == "! round 2 length, alarm: long"
    assert second == "! round 2 forgetting, veto: level/5 fell by 6.6 points against the champion; 1 more"
    assert "round 2 vetoed by forgetting, probe/taught 17:80" in " ".join(one[50:] for one in rest)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (line_of("certify", alerts=ALERTS[1:], b=9, c=1), "round 2 certified 9:1"),
        (line_of("reject"), "round 2 not better: 0.7 against 0.5"),
        (line_of("hold", b=9, c=8), "round 2 undecided 9:8"),
        (line_of("rollback", incumbent={"b": 1, "c": 9}), "round 1 rolled back 1:9, round 2 dropped with it"),
        (
            line_of("rollback", incumbent={"b": 9, "c": 1}, fallen=["probe/a"]),
            "round 1 lost probe/a 9:1, round 2 dropped with it",
        ),
    ],
)
def test_the_words_of_each_decision(line: Any, said: str) -> None:
    assert ", ".join(fact.long for fact in rows.of_round(line, 1).facts) == said


def test_what_waits_for_a_person_is_not_said_to_have_happened() -> None:
    line = line_of("hold", b=9, c=1)
    line["decision"]["reason"] = "accept and certify proposed, not applied: 9 gained, 1 lost"
    [fact] = rows.of_round(line, 1).facts
    assert fact.long == "round 2 on trial proposed, not applied 9:1"


def test_the_model_on_trial_is_followed_through_the_rounds() -> None:
    trial, trials = 0, []
    for line in (line_of("accept", 1), line_of("reject", 2), line_of("accept", 3), line_of("rollback", 4)):
        trials.append(trial)
        trial = rows.after(line, trial)
    assert [*trials, trial] == [0, 1, 1, 3, 0]


@pytest.mark.parametrize(
    ("autonomy", "answers", "said"),
    [
        (3, [], "round 1 certified 38:12"),
        (1, [True], "round 1 certified 38:12"),
        (1, [False], "round 1 certificate proposed, not applied 38:12"),
        (0, [], "round 1 certificate proposed, not applied 38:12"),
    ],
)
def test_the_test_after_the_last_round_is_a_row(tmp_path: Path, autonomy: int, answers: list[bool], said: str) -> None:
    step = tmp_path / "round_001" / "confirmation"
    step.mkdir(parents=True)
    decision = {
        "verdict": "hold",
        "certified": True,
        "reason": "better",
        "statistics": {"incumbent": {"b": 38, "c": 12}},
    }
    (step / "decision.json").write_text(json.dumps(decision))
    for who, value in (("champion", 0.77), ("incumbent", 0.822)):
        report = {"metrics": {"accuracy": {**HALF, "value": value}}, "scores": {}, "parts": {}}
        (step / f"{who}.json").write_text(json.dumps(report))
    (step / "timing.json").write_text('{"seconds": 0.7}')
    from selfimprove.store.ledger import Ledger

    for answer in answers:
        Ledger(tmp_path / "ledger.jsonl").answer(1, "confirmation", answer)
    made = rows.of_run([line_of("", 0), line_of("accept", 1, b=9, c=1)], tmp_path, autonomy)
    assert [row.name for row in made] == ["start", "1", "last"]
    assert shown(made[-1])[0].startswith(" last     0.770      0.822      -      -    0.7s  round 1 cert")
    assert made[-1].facts[0].long == said


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
def test_no_line_is_longer_than_the_terminal_whatever_a_name_holds(columns: int) -> None:
    alerts = [{"alarm": "x" * 300, "level": 2, "text": "\x1b[2Jword " * 60}]
    row = rows.of_round(line_of("reject", alerts=alerts, fallen=["a/" + "b" * 200], b=1, c=2), 1)
    said = shown(row, columns)
    assert len(said) > 1 and max(map(len, said)) <= columns and all(one.isprintable() for one in said)


@pytest.mark.runs
def test_a_run_shows_while_it_goes_on_what_its_folder_tells_afterwards(make_run: Any) -> None:
    from selfimprove.loop.loop import Runner

    folder, log = make_run("rounds=3", "gate_problems=100", "optimization.practice.gain=0.2", start=0.3)
    summary = Runner(folder, log).run()
    live = [rows.of_round(line, line["trial"]) for line in log.rounds]
    live += [rows.of_test(line) for line in log.confirmations]
    assert log.goals == [3] and log.confirmations
    assert live == rows.of_run(summary["per_round"], folder.root)
    certified = [fact for row in live for fact in row.facts if fact.word is verdicts.CERTIFIED]
    assert len(certified) == summary["loop"]["certified"] > 0
