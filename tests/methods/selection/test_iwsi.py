"""Distance in likelihood: rows like the known right ones stay, far ones on either side go first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.selection.iwsi import Iwsi, _shift
from selfimprove.records import Checkpoint, Rollout


@dataclass
class Losses(Fake):
    """Rows named by a number have that loss on each of two tokens; solutions of validation problems have 2 and 4."""

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        rows = []
        for rollout in rollouts:
            try:
                rows.append([-float(rollout.text)] * 2 if rollout.text else [])
            except ValueError:
                rows.append([-2.0, -4.0])
        return rows


@pytest.mark.parametrize(
    ("loss", "shift"),
    [(3.0, 1.0), (2.0, 1.5), (1.5, 2.0), (0.1, 2.0), (0.0, 2.0), (4.5, 1.5), (6.0, 2.0), (15.0, 5.0), (99.0, 5.0)],
)
def test_the_shift_by_hand(loss: float, shift: float) -> None:
    assert _shift(3.0, loss) == pytest.approx(shift)


@given(st.floats(0.01, 50), st.floats(0.01, 50))
def test_the_shift_is_symmetric_in_the_ratio_up_to_the_clips(expected: float, loss: float) -> None:
    assert 1.0 <= _shift(expected, loss) <= 5.0
    if 0.5 <= expected / loss <= 2.0:
        assert _shift(expected, loss) == pytest.approx(_shift(loss, expected))
    assert _shift(expected, expected) == 1.0


def test_the_rows_nearest_to_the_validation_loss_stay(
    make_context: Callable, make_rollout: Callable, classroom: Callable
) -> None:
    problems = make_context().selection(10)
    context = make_context(Losses(classroom(problems, 0.6)), selection=lambda n: problems[:n])
    offered = [make_rollout(text) for text in ("9", "3", "", "2.5", "1", "4", "0.2", "20")]
    kept = Iwsi(keep=0.5, problems=10).select(offered, context)
    assert context.log.metrics["iwsi/validation_loss"] == 3.0
    assert [rollout.text for rollout in kept] == ["3", "2.5", "1", "4"]  # of 7 with a token: shifts 1, 1.2, 2 and 4/3
    assert len(Iwsi(keep=1.0, problems=10).select(offered, context)) == 7


def test_without_a_right_validation_answer_nothing_is_dropped_and_it_says_so(
    make_context: Callable, make_rollout: Callable
) -> None:
    context, rows = make_context(Losses()), [make_rollout("1"), make_rollout("2")]
    assert Iwsi(problems=5, keep=0.5).select(rows, context) == rows
    assert any("no right answer to 5 validation problems" in note for note in context.log.notes)
