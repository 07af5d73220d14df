"""Rows that nobody planted pass, and nothing is counted; the counts are in acquisition/test_planted.py."""

from __future__ import annotations

from collections.abc import Callable

from selfimprove.methods.selection.planted_tally import PlantedTally


def test_other_rows_pass(make_context: Callable, make_rollout: Callable) -> None:
    context, rows = make_context(), [make_rollout("#1"), make_rollout("#2")]
    assert PlantedTally().select(rows, context) == rows and not context.log.metrics
