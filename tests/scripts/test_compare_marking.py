"""compare_marking.py: what the published extractors make of a completion, and what the table counts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import compare_marking

    yield compare_marking
    sys.modules.pop("compare_marking", None)


@pytest.mark.parametrize(
    ("system", "rule", "reference", "text", "right"),
    [
        ("lm_eval", "gsm8k", "so\n#### 1,250", "It costs $1,250", True),
        ("lm_eval", "gsm8k", "#### 7", "The answer is 7 of 9", False),
        ("lm_eval", "mmlu_pro", "C", "the answer is (C). It is B", True),
        ("lm_eval", "mmlu_pro", "C", "Answer: C", False),
        ("lm_eval", "math", r"\frac{1}{2}", r"so $\boxed{\dfrac12}$", True),
        ("lm_eval", "math", "0.50", r"\boxed{0.5}", False),
        ("lm_eval", "exact", "Rome", "rome.", True),
        ("simple_evals", "choice", "B", "Answer: B", True),
        ("simple_evals", "choice", "B", "Answer: A\nAnswer: B", False),
        ("simple_evals", "gsm8k", "#### 7", "Answer: 7.", True),
        ("ours", "choice", "B", "Answer: A\nAnswer: B", True),
    ],
)
def test_each_system_marks_by_its_own_rule(script, system, rule, reference, text, right):
    assert getattr(script, system)(rule, reference, text) is right


def test_a_cell_counts_what_is_right_and_both_kinds_of_error(script):
    rows = [{"rule": "exact", "reference": "a", "completion": c, "right": r} for c, r in (("x", 1), ("y", 0), ("z", 0))]
    assert script._cell(lambda *row: row[2] == "y", rows) == "1 of 3 (+1, -1)"
    assert script._cell(lambda *row: None, rows) == "-"
