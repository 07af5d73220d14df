"""The types in the JSON files of a run: what the program writes fits, what a stranger signs does not."""

from __future__ import annotations

from typing import Any

import pytest

from selfimprove.loop import shapes
from selfimprove.records import VERDICTS
from selfimprove.store.shape import misfit

METRIC = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10}
DECISION = {"verdict": "accept", "reason": "why", "statistics": {"b": 3, "c": 1, "incumbent": {"b": 1, "c": 0}}}
SEALED = {"n": 9, "start": 0.1, "champion": 0.2, "delta": 0.1, "ci": [0.0, 0.2], "champion_round": 1}
ROUND = {"round": 1, "alerts": [{"alarm": "a", "level": 1, "text": "t"}], "decision": DECISION, "anything/else": "x"}
SUMMARY = {"recipe": "r", "seed": 0, "rounds": 1, "sealed": SEALED, "per_round": [ROUND], "metrics": None}
WHOLE = {**SUMMARY, "metrics": {"start": {"x": METRIC}, "champion": {}}}


@pytest.mark.parametrize(
    ("shape", "value", "wrong"),
    [
        (shapes.DECISION, DECISION, ""),
        (shapes.DECISION, {**DECISION, "verdict": 1}, "verdict is a number that does not fit"),
        (shapes.DECISION, {**DECISION, "statistics": {"b": "3"}}, "statistics.b is a str"),
        (shapes.SUMMARY, WHOLE, ""),
        (shapes.SUMMARY, SUMMARY, "metrics is null"),
        (shapes.SUMMARY, {**SUMMARY, "sealed": {**SEALED, "ci": [0]}}, "sealed.ci has another length"),
        (shapes.SUMMARY, {**SUMMARY, "sealed": {**SEALED, "n": 1e400}}, "sealed.n is a number that does not fit"),
        (
            shapes.SUMMARY,
            {**WHOLE, "per_round": [{**ROUND, "alerts": [{}]}]},
            "per_round[0].alerts[0].alarm is missing",
        ),
        (shapes.REPORT, {"metrics": {"a": METRIC}, "scores": {"q": 1.0}, "parts": {"p": {"q": 0}}}, ""),
        (shapes.REPORT, {"metrics": {}, "scores": {"q": None}, "parts": {}}, "scores.q is null"),
        (shapes.CHECKPOINT, {"path": "model", "base": None, "parts": {"judge": "x"}}, ""),
        (shapes.CHECKPOINT, {"path": ["model"]}, "path is a list"),
        (shapes.NEXT, {"overrides": {"reward.x.y": 0.5, "seed": None}}, ""),
        (shapes.DIAGNOSIS, None, ""),
        (shapes.ENVIRONMENT, {"settings": {"seed": 0, "task": {"t": None}, "engine": {"e": {}}}}, ""),
        (shapes.ENVIRONMENT, {"settings": {"seed": "0", "task": {}, "engine": {}}}, "settings.seed is a str"),
    ],
)
def test_what_fits(shape: Any, value: Any, wrong: str) -> None:
    found = misfit(value, shape)
    assert found.startswith(wrong) if wrong else found == ""


def test_a_verdict_is_one_that_a_gate_gives() -> None:
    assert [shapes.odd_decision({"verdict": verdict}) for verdict in VERDICTS] == [""] * len(VERDICTS)
    assert "'champion' is none of" in shapes.odd_decision({"verdict": "champion"})
