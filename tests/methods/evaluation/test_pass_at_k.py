"""pass@k: the unbiased estimate from exactly counted samples, averaged over problems."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Sampling
from selfimprove.measures.attempts import pass_at_k
from selfimprove.methods.evaluation.pass_at_k import PassAtK
from selfimprove.rounds import Exam


def test_by_hand(make_policy: Callable, given_engine: Callable, make_rollout: Callable, make_context: Callable) -> None:
    groups = [
        [make_rollout(text, key) for text in texts]
        for key, texts in {"1+2": ["#3", "#4", "#3", "#5"], "3+5": ["#1"] * 4, "9+9": ["#8"] * 4}.items()
    ]
    method = PassAtK(k=[1, 2, 4], samples=4)
    report = method.evaluate(
        make_policy(given_engine(groups)),
        Exam(problems=[group[0].prompt for group in groups], verify=make_context().verify),
    )
    values = {name: metric.value for name, metric in report.metrics.items()}
    assert values == {  # of the first problem's 6 pairs of samples 5 hold a right one
        "pass@1": pytest.approx((1 / 2 + 0 + 1) / 3),
        "pass@2": pytest.approx((5 / 6 + 0 + 1) / 3),
        "pass@4": pytest.approx((1 + 0 + 1) / 3),
    }
    assert all(metric.n == 3 for metric in report.metrics.values()) and report.scores == {}


@pytest.mark.parametrize(("n", "right", "k", "value"), [(10, 3, 5, 0.916667), (20, 1, 10, 0.5), (100, 5, 50, 0.971858)])
def test_published_values(
    make_policy: Callable,
    given_engine: Callable,
    make_rollout: Callable,
    make_context: Callable,
    n: int,
    right: int,
    k: int,
    value: float,
) -> None:
    group = [make_rollout("#3" if i < right else "#4", "1+2") for i in range(n)]
    report = PassAtK(k=[k], samples=n).evaluate(
        make_policy(given_engine([group])), Exam(problems=[group[0].prompt], verify=make_context().verify)
    )
    assert report.metrics[f"pass@{k}"].value == pytest.approx(value, abs=5e-7) == pass_at_k(n, right, k)


def test_more_tries_never_hurt_and_follow_the_binomial(
    make_policy: Callable, make_engine: Callable, make_context: Callable, classroom: Callable
) -> None:
    context = make_context()
    problems = context.problems(200, 1)
    policy = make_policy(make_engine(classroom(problems, 0.2)))
    metrics = (
        PassAtK(k=[1, 2, 4, 8], samples=8).evaluate(policy, Exam(problems=problems, verify=context.verify)).metrics
    )
    for k in (1, 2, 4, 8):
        metric = metrics[f"pass@{k}"]
        assert abs(metric.value - (1 - 0.8**k)) < 2 * (metric.high - metric.low) / 2
    values = [metrics[f"pass@{k}"].value for k in (1, 2, 4, 8)]
    assert values == sorted(values)


def test_only_the_first_problems_are_used_and_those_without_a_mark_are_left_out(
    make_policy: Callable, make_engine: Callable, make_context: Callable
) -> None:
    engine, problems = make_engine(), make_context().problems(9, 1)

    def verify(prompt: object, text: str) -> float | None:
        return None if prompt == problems[0] else 1.0

    report = PassAtK(k=[1], samples=2, problems=3).evaluate(make_policy(engine), Exam(problems=problems, verify=verify))
    assert [prompt.key for prompt in engine.seen] == [prompt.key for prompt in problems[:3]]
    assert engine.calls[0][:2] == (2, Sampling(temperature=1.0)) and report.metrics["pass@1"].n == 2


@pytest.mark.parametrize("k", [[], [0], [17], [1, 17], [-1]])
def test_impossible_k_are_refused(k: list[int]) -> None:
    with pytest.raises(RecipeError, match=r"every k must be 1 to samples \(16\)"):
        PassAtK(k=k)
