"""The curves of training: what was logged on the way, under TRL's names, one training after the other."""

from __future__ import annotations

from selfimprove.logs import chart, charted
from selfimprove.training.trl.curves import curve

HISTORY = [
    {"loss": 0.5, "learning_rate": 1e-3, "step_time": 0.1, "epoch": 0.5, "step": 10},
    {"loss": 0.25, "learning_rate": 5e-4, "epoch": 1.0, "step": 20},
    {"train_runtime": 3.1, "train_loss": 0.3, "step": 20},
]


def test_a_curve_has_what_was_logged_without_times_and_goes_on_with_the_next_training() -> None:
    rows = curve(HISTORY)
    assert rows == [
        {"step": 10.0, "train/loss": 0.5, "train/learning_rate": 1e-3, "train/epoch": 0.5},
        {"step": 20.0, "train/loss": 0.25, "train/learning_rate": 5e-4, "train/epoch": 1.0},
    ]
    chart(rows)  # nobody collects
    with charted() as found:
        chart(rows)
        with charted() as inner:
            chart(rows[:1])
        chart(rows)
    assert [row["step"] for row in found] == [10, 20, 30, 40] and len(inner) == 1
