"""Accuracy: one refined answer for each problem, marked by the rule, with its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from selfimprove.inference.desk import Sessions
from selfimprove.measures.statistics import proportion
from selfimprove.methods.evaluation.accuracy import Accuracy
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.rounds import Exam


def test_the_share_of_right_answers(make_policy: Callable, make_engine: Callable, make_context: Callable) -> None:
    context = make_context()
    problems = context.problems(10, 1)
    table = {p.prompt[-1]["content"]: {f"#{p.answer}" if i < 7 else "wrong": 1.0} for i, p in enumerate(problems)}
    report = Accuracy().evaluate(make_policy(make_engine(table)), Exam(problems=problems, verify=context.verify))
    assert report.metrics["accuracy"] == proportion(7, 10) and report.metrics["truncated"].value == 0
    assert report.scores == {p.key: float(i < 7) for i, p in enumerate(problems)}
    assert [rollout.reward for rollout in report.rollouts] == [1.0] * 7 + [0.0] * 3
    assert [rollout.prompt for rollout in report.rollouts] == problems


def test_problems_that_cannot_be_marked_are_left_out_of_numerator_and_denominator(
    make_policy: Callable, make_prompt: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = [make_prompt(key) for key in ("1+2", "3+5", "9+9")]
    marks = {"1+2": None, "3+5": 1.0, "9+9": 0.5}
    task = ChainSums()
    monkeypatch.setattr(task, "verify", lambda prompt, text: marks[prompt.key])
    exam = Exam(problems=problems, verify=task.verify)
    report = Accuracy().evaluate(make_policy(desk=Sessions(task)), exam)
    assert report.scores == {"3+5": 1.0, "9+9": 0.5}
    assert report.metrics["accuracy"] == proportion(1.5, 2) and report.metrics["truncated"].n == 3
    assert [rollout.reward for rollout in report.rollouts] == [None, 1.0, 0.5]


def test_truncated_answers_are_counted(
    make_policy: Callable, given_engine: Callable, make_rollout: Callable, make_context: Callable
) -> None:
    ends = {"1+2": "stop", "3+5": "length"}
    groups = [[make_rollout("#3", key, info={"finish_reason": reason})] for key, reason in ends.items()]
    report = Accuracy().evaluate(
        make_policy(given_engine(groups)),
        Exam(problems=[group[0].prompt for group in groups], verify=make_context().verify),
    )
    assert report.metrics["truncated"] == proportion(1, 2)


@pytest.mark.parametrize("samples", [1, 25])
def test_it_measures_the_refined_policy_and_not_the_raw_one(
    make_policy: Callable, make_engine: Callable, make_context: Callable, classroom: Callable, samples: int
) -> None:
    context = make_context()
    problems = context.problems(150, 1)
    refined = SelfConsistency(samples=samples, temperature=1.0)
    report = Accuracy().evaluate(
        make_policy(make_engine(classroom(problems, 0.65)), refined), Exam(problems=problems, verify=context.verify)
    )
    accuracy = report.metrics["accuracy"]
    assert (accuracy.low > 0.8) == (samples == 25) and accuracy.n == 150


def test_two_problems_of_one_key_count_once(
    make_policy: Callable, make_context: Callable, make_prompt: Callable
) -> None:
    one = make_prompt("1+2")
    other = replace(one, prompt=[{"role": "user", "content": "one plus two"}])
    report = Accuracy().evaluate(make_policy(), Exam(problems=[one, other], verify=make_context().verify))
    assert report.metrics["accuracy"].n == len(report.scores) == 1
