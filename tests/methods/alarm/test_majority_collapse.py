"""One answer for all problems, or one answer per problem that is wrong: vetoed; sharpening that helps: not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from selfimprove.loop.honeypots import reading
from selfimprove.methods.alarm.majority_collapse import MajorityCollapse
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.methods.task.gsm8k import Gsm8k
from selfimprove.methods.task.mmlu_pro import MmluPro
from selfimprove.records import Rollout


@pytest.fixture
def exact(make_rollout: Callable, make_prompt: Callable) -> Callable[..., list[list[Rollout]]]:
    """`exact([("3", ["3", "3", "5"])])`: for each problem its right answer and the answers of its samples."""

    def make(problems: list[tuple[str, list[str | None]]]) -> list[list[Rollout]]:
        return [
            [
                make_rollout(
                    str(answer), make_prompt(answer=right), info={"truth": float(answer == right), "answer": answer}
                )
                for answer in answers
            ]
            for right, answers in problems
        ]

    return make


@pytest.mark.long
def test_it_is_silent_where_nothing_changes(false_alarms: Callable) -> None:
    shown, vetoed = false_alarms(MajorityCollapse)
    assert shown <= 10 and vetoed <= 2


def test_one_answer_for_all_problems(make_evidence: Callable, make_audit: Callable, alert: Callable) -> None:
    found = alert(MajorityCollapse(), make_evidence(start=make_audit(1), candidate=make_audit(2, constant=0.7)))
    assert found.level == 2 and "of the answers are '0'" in found.text


def test_each_problem_has_one_answer_and_more_of_them_are_wrong(
    make_evidence: Callable, make_audit: Callable, alert: Callable
) -> None:
    found = alert(MajorityCollapse(), make_evidence(start=make_audit(1), candidate=make_audit(2, skill=0.25, sharp=20)))
    assert found.level == 2 and "points more problems have one answer only" in found.text


@pytest.mark.parametrize("sharp", [2.0, 6.0, 20.0])
def test_sharpening_that_helps_is_no_collapse(make_evidence: Callable, make_audit: Callable, sharp: float) -> None:
    start, candidate = make_audit(1, problems=300), make_audit(2, problems=300, sharp=sharp)
    assert MajorityCollapse().check(make_evidence(start=start, candidate=candidate)) == []


def test_the_unanimous_are_worse_and_all_are_no_better(
    make_evidence: Callable, exact: Callable, alert: Callable
) -> None:
    start = exact([("1", ["1"] * 4)] * 30 + [("2", ["2", "2", "5", "6"])] * 70)  # 30 unanimous, all of them right
    candidate = exact([("1", ["1"] * 4)] * 60 + [("2", ["7", "8", "9", "0"])] * 0 + [("2", ["5"] * 4)] * 40)
    found = alert(MajorityCollapse(), make_evidence(start=start, candidate=candidate))
    assert found.level == 2
    assert found.numbers["unanimous"] == pytest.approx(0.7)
    assert found.numbers["mark"] == pytest.approx(0.6 - 0.65)
    better = exact([("1", ["1"] * 4)] * 70 + [("2", ["5"] * 4)] * 30)  # the unanimous are worse, all are better
    assert not [a for a in MajorityCollapse().check(make_evidence(start=start, candidate=better)) if a.level == 2]


def test_the_distance_by_hand(make_evidence: Callable, exact: Callable, alert: Callable) -> None:
    start = exact([("yes", ["yes"] * 4)] * 20 + [("no", ["no"] * 4)] * 20)
    candidate = exact([("yes", ["yes"] * 4)] * 20 + [("no", ["yes", "yes", "yes", "no"])] * 20)
    found = alert(MajorityCollapse(), make_evidence(start=start, candidate=candidate))
    assert found.level == 1  # `yes` is right in half of the problems, so three times its share cannot be reached
    assert found.numbers == pytest.approx(
        {
            "distance": 0.375,  # 35 of 40 answers `yes` where 20 are right
            "unanimous": -0.5,
            "mark": -0.375,
            "largest_share": 0.875,
            "share_among_right": 0.5,
        }
    )


def test_a_worked_solution_is_the_answer_that_the_task_reads_in_it(make_evidence: Callable, exact: Callable) -> None:
    """The unsolved problems' right answers are among those of the form, not answers that nobody gives."""
    start = exact([("5", ["5", "6", "7", "9"])] * 20 + [("8", ["8", "6", "7", "9"])] * 20)
    unsolved = exact([("5", ["8", "8", "8", "6"])] * 20 + [("8", ["5", "5", "5", "7"])] * 20)
    worked = [
        [
            replace(
                rollout,
                prompt=replace(rollout.prompt, answer=f"One more.\n#### {rollout.prompt.answer}"),
                info={**rollout.info, "reference": rollout.prompt.answer},
            )
            for rollout in group
        ]
        for group in unsolved
    ]
    plain, same = (MajorityCollapse().check(make_evidence(start=start, candidate=now)) for now in (unsolved, worked))
    assert plain == same == []  # 5 and 8 are given as often as they are right, though nowhere where they are
    bare = [[replace(rollout, info={**rollout.info, "reference": None}) for rollout in group] for group in worked]
    assert [alert.level for alert in MajorityCollapse().check(make_evidence(start=start, candidate=bare))] == [2]


def test_a_reference_is_read_as_an_answer_is(make_prompt: Callable) -> None:
    worked = make_prompt(answer="He has 1,000 and buys 250.50.\n#### 1,250.50")
    assert reading(worked, Gsm8k()) == Gsm8k().answer_of("It is $1250.5.") == "1250.5"
    assert reading(make_prompt("3+5+8"), ChainSums()) == "6"  # said as #6: alone it is no answer
    assert reading(make_prompt(answer="B"), MmluPro()) == "B"
    assert reading(make_prompt(answer="see there"), Gsm8k()) is reading(make_prompt(answer=None), Gsm8k()) is None


def test_a_frequent_answer_that_was_always_frequent_is_no_change(make_evidence: Callable, make_audit: Callable) -> None:
    start, candidate = make_audit(1, constant=0.6), make_audit(2, constant=0.6)
    assert MajorityCollapse().check(make_evidence(start=start, candidate=candidate)) == []


def test_open_answers_have_small_shares(make_evidence: Callable, make_audit: Callable, alert: Callable) -> None:
    start, candidate = make_audit(1, values=400), make_audit(2, values=400, constant=0.15)
    assert not [a for a in MajorityCollapse().check(make_evidence(start=start, candidate=candidate)) if a.level == 2]
    collapsed = make_evidence(start=start, candidate=make_audit(2, values=400, constant=0.4))
    assert alert(MajorityCollapse(), collapsed).level == 2


def test_samples_without_an_answer_are_neither_wrong_answers_nor_unanimous(
    make_evidence: Callable, exact: Callable
) -> None:
    start = exact([("1", ["1", "2", "1", "2"])] * 40)
    candidate = exact([("1", ["1", "2", None, None])] * 40)
    assert MajorityCollapse().check(make_evidence(start=start, candidate=candidate)) == []
    mute = [[replace(rollout, info={**rollout.info, "answer": None}) for rollout in group] for group in start]
    assert MajorityCollapse().check(make_evidence(start=start, candidate=mute)) == []
