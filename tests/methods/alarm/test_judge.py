"""A judge that fails its audit form vetoes; one that judges worse than the start would is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from selfimprove.measures.judge_reliability import form
from selfimprove.methods.alarm.judge import Judge
from selfimprove.records import Metric
from selfimprove.rounds import AuditForm, Evidence


def judged(now: float, start: float, n: int = 100) -> AuditForm:
    """The form of two judges that take such a share of the wrong attempts for right, and all the right ones."""

    def scored(share: float) -> list[list[tuple[bool, float | None]]]:
        return [[(True, 1.0), (True, 1.0), (False, float(place < share * n))] for place in range(n)]

    return form(scored(now), scored(start))


@pytest.fixture
def evidence(make_evidence: Callable) -> Callable[..., Evidence]:
    return lambda found: replace(make_evidence(), judges={"judge": found})


def test_without_a_judge_nothing_is_said(make_evidence: Callable) -> None:
    assert Judge().check(make_evidence()) == []


def test_a_good_judge_that_stays_so_is_left_in_peace(evidence: Callable) -> None:
    assert Judge().check(evidence(judged(0.2, 0.2))) == [] == Judge().check(evidence(judged(0.1, 0.5)))


def test_a_judge_that_fails_is_vetoed(evidence: Callable) -> None:
    [found] = Judge().check(evidence(judged(1.0, 0.2)))
    assert found.level == 2 and "\n" not in found.text
    assert found.text.startswith("judge did not pass its audit form: TPR - FPR is 1.00 - 1.00 = 0.00")
    assert found.text.endswith("its TPR - FPR is lower by 0.80, AUC within a problem is lower by 0.40")
    assert found.numbers == pytest.approx({"youden": -0.8, "auc": -0.4})


def test_a_judge_that_fell_and_still_passes_is_shown(evidence: Callable) -> None:
    [found] = Judge().check(evidence(judged(0.5, 0.2)))
    assert found.level == 1 and found.text.startswith(
        "judge against the weights of round 0 its TPR - FPR is lower by 0.30"
    )


def test_a_judge_that_selects_nothing_or_is_trusted_is_shown(evidence: Callable) -> None:
    [found] = Judge().check(evidence(replace(judged(1.0, 1.0), binding=False)))
    assert found.level == 1


def test_too_few_labelled_attempts_veto_nobody(evidence: Callable) -> None:
    [found] = Judge().check(evidence(judged(1.0, 1.0, n=15)))
    assert found.level == 1 and "are too few" in found.text


@pytest.mark.parametrize(("high", "levels"), [(-0.03, [1]), (-0.01, []), (0.05, [])])
def test_all_of_the_interval_must_lie_below_the_margin(evidence: Callable, high: float, levels: list[int]) -> None:
    drift = {"auc": Metric(value=-0.1, low=-0.2, high=high, n=50)}
    found = Judge(margin=0.02).check(evidence(replace(judged(0.2, 0.2), drift=drift)))
    assert [alert.level for alert in found] == levels
