"""What a run shows: a line for each round and the tables at the end, with verdicts in words."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from selfimprove.report.terminal import Screen, outcome, rounds_table, verdict


def line_of(verdict: str, *, certified: bool = False, alerts: Any = (), **statistics: Any) -> dict[str, Any]:
    metric = {"value": 0.5, "low": 0.46, "high": 0.54, "n": 500}
    if certified:
        statistics["incumbent"] = {"b": 59, "c": 15, "p": 1e-7}
    return {
        "round": 2,
        "measure": "accuracy",
        "champion/accuracy": metric,
        "candidate/accuracy": metric | {"value": 0.7, "low": 0.66, "high": 0.74},
        "decision": {"verdict": verdict, "reason": "0.7 against 0.5", "certified": certified, "statistics": statistics},
        "alerts": list(alerts),
        "diagnosis": {"change": "no gain", "verdicts": [{"name": "POSSIBLE", "by": "votes"}]},
        "selection/kept": 494,
        "selection/given": 4000,
        "selection/label_precision": 1.0,
        "seconds": {"acquisition": 2.0, "optimization": 4.0},
    }


def test_a_round_says_what_became_of_both_models_and_why() -> None:
    line = line_of("accept", certified=True, b=66, c=7)
    assert Screen(Console()).describe(line) == (
        "round 2: champion 0.500 ±0.040, candidate 0.700 ±0.040; "
        "model on trial certified: 59 problems gained, 15 lost; candidate on trial: 66 problems gained, 7 lost; "
        "kept 494 of 4000 samples, 100 % right; 6.0 s"
    )


def test_round_0_says_how_precise_the_scores_of_all_rounds_are() -> None:
    line = {"round": 0, "champion/accuracy": line_of("hold")["champion/accuracy"], "seconds": {"model": 20.0}}
    said = Screen(Console()).describe(line)
    assert said == "round 0: start 0.500 ±0.040 on 500 new problems, as many as each round uses; 20.0 s"


def test_a_gate_that_counts_no_pairs_gives_its_own_reason() -> None:
    assert outcome(line_of("reject")) == "candidate not better: 0.7 against 0.5"


@pytest.mark.parametrize("stored", ["rollback", "reject"])
def test_a_veto_names_each_alarm_and_guard_once(stored: str) -> None:
    alerts = [{"alarm": "length", "level": 1}, {"alarm": "forgetting", "level": 2}, {"alarm": "forgetting", "level": 2}]
    line = line_of(stored, alerts=alerts, fallen=["probe/taught"], b=17, c=80)
    assert outcome(line) == "candidate vetoed by forgetting, probe/taught: 17 problems gained, 80 lost"


def test_a_gate_that_ignores_alarms_shows_no_veto() -> None:
    line = line_of("certify", alerts=[{"alarm": "length", "level": 2}])
    assert verdict(line["decision"], line["alerts"]) == "new champion"


def test_the_table_says_whose_model_was_certified_and_fits_80_columns() -> None:
    rounds = [
        {**line_of("hold"), "round": 0},
        {**line_of("accept", b=9, c=1), "round": 1},
        {**line_of("reject", b=1, c=9), "round": 2},
        {**line_of("accept", certified=True, b=9, c=1), "round": 3},
    ]
    del rounds[0]["decision"]
    console = Console(width=80, record=True)
    console.print(rounds_table({"recipe": "quickstart", "seed": 0, "per_round": rounds}))
    shown = console.export_text()
    rows = [row.split() for row in shown.splitlines() if row.strip()[:1].isdigit()]
    assert [row[5:-5] for row in rows[1:]] == [["on", "trial"], ["not", "better"], ["on", "trial", "round", "1"]]
    assert "…" not in shown
