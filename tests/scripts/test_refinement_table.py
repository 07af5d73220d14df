"""The table of a comparison of refinements: what it counts, and how differences are shown."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from refinement_table import refinements


def test_a_comparison_becomes_a_table_with_its_counts() -> None:
    def row(name: str, accuracy: float, greedy: tuple[float, ...] | None, votes: tuple[float, ...], by: str | None):
        differences = [one and dict(zip(("difference", "low", "high"), one, strict=True)) for one in (greedy, votes)]
        numbers = {"name": name, "budget": None, "tokens": 41.6, "completions": 2.0, "calls": 1.5, "dominated_by": by}
        against = dict(zip(("against_greedy", "against_votes"), differences, strict=True))
        return {**numbers, **against, "accuracy": {"value": accuracy}}

    found = {
        "problems": 50,
        "seed": 0,
        "plain": {"tokens": 30.4},
        "votes": [{"samples": 1, "accuracy": {"value": 0.4}}, {"samples": 2, "accuracy": {"value": 0.45}}],
        "methods": [
            row("worse", 0.25, (-0.1, -0.2, 0.01), (-0.2, -0.3, -0.1), "votes"),
            row("better", 0.75, (0.25, 0.1, 0.4), (0.3, 0.0, 0.6), None),
            row("unknown", 0.5, None, (0.05, 0.01, 0.09), None),
        ],
        "left_out": [{"name": "tests", "reason": "the task has no such tool"}],
    }
    lines = refinements(found).splitlines()
    assert lines[0].startswith("50 problems, seed 0; 3 rows, by the interval 1 above greedy, 1 above votes. ")
    assert lines[0].endswith("Accuracy of a vote by samples, 30 tokens each: 1: 0.400, 2: 0.450.")
    rows = [line for line in lines if line.startswith("| `")]
    assert rows[0] == "| `better` | 42 | 3.5 | 0.750 | +25.0 [+10.0, +40.0] | +30.0 [+0.0, +60.0] |  |"
    assert rows[1] == "| `unknown` | 42 | 3.5 | 0.500 |  | +5.0 [+1.0, +9.0] |  |"
    assert rows[2].endswith("| -20.0 [-30.0, -10.0] | by votes |")
    assert lines[-1] == "- `tests`: the task has no such tool"
