"""`sparft`: problems that are unlike each other are kept, and the group in the middle is drawn most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from selfimprove.methods.sampler.sparft import Sparft, spread


def test_the_kept_problems_share_the_least() -> None:
    said = ["1+2", "1+3", "7*8", "1+2+", "9-4"]
    assert spread(range(5), said, 3) == [0, 2, 4], "1+3 shares a pair with the first one, 1+2+ two"
    assert spread([3], said, 5) == [3]


def test_the_middle_group_is_drawn_most_until_it_is_mastered(training: Callable) -> None:
    run = training(Sparft(problems=5), [0.98, 0.5, 0.02] * 30)
    for _ in range(60):
        run.step(4)
    counts = Counter(place % 3 for step in run.chosen[10:] for place in step)
    assert counts[1] > 0.6 * sum(counts.values())
    assert len({place for step in run.chosen for place in step}) <= 15
    run.rates = [0.98, 1.0, 0.5] * 30
    for _ in range(60):
        run.step(4)
    late = Counter(place % 3 for step in run.chosen[-30:] for place in step)
    assert late[2] > late[1]
