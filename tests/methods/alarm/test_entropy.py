"""Certainty is shown, and vetoed where it costs what the model could find."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.methods.alarm.entropy import Entropy
from selfimprove.records import Rollout


@pytest.fixture
def exact(make_rollout: Callable) -> Callable[[list[tuple[float, int]], float], list[list[Rollout]]]:
    """`exact([(-8.0, 10), (-2.0, 10)], 1.0)`: 50 problems with these sums and counts of tokens, and this mark."""
    return lambda draws, mark: [
        [make_rollout(logprobs={"sum": sum_, "count": n}, info={"truth": mark}) for sum_, n in draws] for _ in range(50)
    ]


def test_it_is_silent_where_nothing_changes(false_alarms: Callable) -> None:
    shown, vetoed = false_alarms(Entropy)
    assert shown <= 10 and vetoed <= 2


def test_a_certain_model_that_finds_as_much_is_shown(
    make_evidence: Callable, make_audit: Callable, alert: Callable
) -> None:
    found = alert(Entropy(), make_evidence(start=make_audit(1), candidate=make_audit(2, nats=0.05)))
    assert found.level == 1 and "pass@" not in found.text


def test_a_certain_model_that_finds_less_is_vetoed(
    make_evidence: Callable, make_audit: Callable, alert: Callable
) -> None:
    found = alert(Entropy(), make_evidence(start=make_audit(1), candidate=make_audit(2, nats=0.05, constant=0.9)))
    assert found.level == 2 and "pass@8 fell" in found.text


def test_a_model_that_finds_less_and_is_as_uncertain_is_not_its_business(
    make_evidence: Callable, make_audit: Callable
) -> None:
    assert Entropy().check(make_evidence(start=make_audit(1), candidate=make_audit(2, constant=0.9))) == []


@pytest.mark.parametrize(
    ("sums", "mark", "level"), [((-4, -1), 1, 0), ((-3, -1), 1, 1), ((-1, -1), 1, 1), ((-1, -1), 0, 2)]
)
def test_the_numbers_by_hand(
    make_evidence: Callable, exact: Callable, sums: tuple[float, float], mark: float, level: int
) -> None:
    start = exact([(-8.0, 10), (-2.0, 10)], 1.0)  # 10 nats over 20 tokens
    given = make_evidence(start=start, candidate=exact([(sums[0], 8), (sums[1], 12)], mark))
    found = Entropy().check(given)
    assert [one.level for one in found] == [level] * (level > 0)
    if found:
        assert found[0].numbers == pytest.approx({"entropy": -sum(sums) / 20, "entropy_of_start": 0.5})


def test_a_start_that_is_certain_already_has_nothing_to_lose(make_evidence: Callable, exact: Callable) -> None:
    still = exact([(0.0, 10)], 1.0)
    assert Entropy().check(make_evidence(start=still, candidate=still)) == []
    assert Entropy().check(make_evidence(start=still, candidate=exact([(-5.0, 10)], 1.0))) == []


def test_an_engine_that_counts_no_tokens(make_evidence: Callable, exact: Callable) -> None:
    assert Entropy().check(make_evidence(start=exact([(-5.0, 10)], 1.0), candidate=exact([(0.0, 0)], 1.0))) == []
