"""A batch with too many wrong rows is filtered or refused, and what is let pass is seldom worse than it may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.selection.quarantine import Quarantine
from selfimprove.records import Document, Preference, Rollout


@pytest.fixture
def batch(make_rollout: Callable, worked: Callable) -> Callable[[int, int], list[Rollout]]:
    """`batch(300, 6)`: 300 rows that the reward likes, 6 of them wrong."""

    def make(n: int, wrong: int) -> list[Rollout]:
        rows = [[place % 10, place // 10 % 10, place // 100] for place in range(n)]
        return [
            make_rollout(worked(row, slip=0 if place < wrong else None), "+".join(map(str, row)), reward=1.0)
            for place, row in enumerate(rows)
        ]

    return make


def right(records: Sequence[Any], context: Any) -> int:
    return sum(context.verify(record.prompt, record.text) == 1.0 for record in records)


def test_a_clean_batch_passes_unchanged(batch: Callable, make_context: Callable) -> None:
    context, rows = make_context(), batch(400, 0)
    assert list(Quarantine().select(rows, context)) == rows
    assert context.log.metrics == {"quarantine/wrong_share": 0.0}
    assert "0 of 100 marked rows are wrong, at most 3.0% of all; all 400 are kept" in context.log.notes[0]


def test_filter_drops_the_wrong_rows_and_no_other(batch: Callable, make_context: Callable) -> None:
    context, rows = make_context(), batch(400, 60)
    kept = list(Quarantine().select(rows, context))
    assert kept == rows[60:]
    assert 0.05 < context.log.metrics["quarantine/wrong_share"] < 0.3
    assert context.log.notes[0].endswith("60 of 400 are wrong and dropped")


def test_refuse_keeps_nothing_and_says_why(batch: Callable, make_context: Callable) -> None:
    context = make_context()
    assert list(Quarantine(mode="refuse").select(batch(400, 60), context)) == []
    assert "which is more than 3.0%: none is kept" in context.log.notes[0]


@pytest.mark.parametrize(("audit", "wrong", "passes"), [(98, 0, False), (99, 0, True), (300, 3, True), (300, 4, False)])
def test_the_bound_by_hand(
    make_context: Callable, make_rollout: Callable, audit: int, wrong: int, passes: bool
) -> None:
    # 0.05 ** (1 / 99) = 0.9702; P(Bin(300, 0.03) <= 3) = 0.020, P(Bin(300, 0.03) <= 4) = 0.053
    marks = iter([0.0] * wrong + [1.0] * 10_000)
    context = make_context(verify=lambda prompt, text: next(marks))
    kept = Quarantine(audit=audit, mode="refuse").select([make_rollout() for _ in range(1000)], context)
    assert bool(kept) is passes


def test_a_batch_that_is_marked_whole_needs_no_bound(batch: Callable, make_context: Callable) -> None:
    small = batch(50, 1)  # 2 % for sure; a bound would be 9 %
    assert list(Quarantine(mode="refuse").select(small, make_context())) == small
    assert list(Quarantine(mode="refuse").select(batch(50, 2), make_context())) == []
    assert len(list(Quarantine().select(batch(50, 2), make_context()))) == 48


def test_of_preferences_the_chosen_completion_is_marked(
    batch: Callable, make_context: Callable, make_rollout: Callable
) -> None:
    bad = make_rollout("#0").completion
    pairs = [Preference(prompt=row.prompt, chosen=row.completion, rejected=bad) for row in batch(300, 30)]
    assert list(Quarantine().select(pairs, make_context())) == pairs[30:]


def test_rows_that_nobody_can_mark(batch: Callable, make_context: Callable) -> None:
    context = make_context(verify=lambda prompt, text: None)
    rows = batch(200, 0)
    assert list(Quarantine().select(rows, context)) == rows
    assert list(Quarantine(mode="refuse").select(rows, context)) == []
    texts = [Document(text="one"), Document(text="two")]
    assert list(Quarantine().select(texts, make_context())) == texts


@pytest.mark.long
def test_a_bad_batch_seldom_passes_whole(batch: Callable, make_context: Callable) -> None:
    rows = batch(500, 20)  # 4 %
    passed = sum(
        bool(Quarantine(mode="refuse").select(rows, replace(make_context(), seed=seed))) for seed in range(200)
    )
    assert passed <= 10


def test_no_rows_are_not_audited(make_context: Callable) -> None:
    context = make_context()
    assert list(Quarantine(mode="refuse").select([], context)) == []
    assert context.log.metrics == {} and context.log.notes == []


@pytest.mark.parametrize("options", [{"mode": "drop"}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"selection\.quarantine"):
        Quarantine(**options)
