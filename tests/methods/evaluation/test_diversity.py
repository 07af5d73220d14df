"""Diversity falls when the samples of a prompt become alike, whatever they say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.methods.evaluation.diversity import Diversity
from selfimprove.rounds import Exam


@pytest.fixture
def measure(make_policy: Callable, given_engine: Callable, make_rollout: Callable) -> Callable[..., dict[str, float]]:
    """`measure(["ab", "ac"], ...)`: the values for groups of texts, one group for each prompt."""

    def run(*groups: list[str]) -> dict[str, float]:
        rollouts = [[make_rollout(text) for text in group] for group in groups]
        policy = make_policy(given_engine(rollouts))
        report = Diversity(samples=len(groups[0])).evaluate(
            policy, Exam(problems=[group[0].prompt for group in rollouts], verify=lambda *_: None)
        )
        return {name: metric.value for name, metric in report.metrics.items()}

    return run


def test_by_hand(measure: Callable) -> None:
    assert measure(["abab", "abc"]) == {
        "distinct_1": pytest.approx(3 / 7),  # a b a b a b c
        "distinct_2": pytest.approx(3 / 5),  # ab ba ab ab bc
        "distinct_3": 1.0,  # aba bab abc
        "unique": 1.0,
    }


def test_words_where_there_are_words(measure: Callable) -> None:
    values = measure(["the cat sat", "the cat ran"])
    assert values["distinct_1"] == pytest.approx(4 / 6) and values["distinct_2"] == pytest.approx(3 / 4)


def test_collapse_to_one_text_shows(measure: Callable) -> None:
    varied, collapsed = measure(["ab", "cd", "ef", "gh"]), measure(["ab"] * 4)
    assert collapsed["unique"] == 0.25 and varied["unique"] == 1.0
    assert collapsed["distinct_1"] == 0.25 and varied["distinct_1"] == 1.0


def test_prompts_are_averaged_and_not_thrown_together(measure: Callable) -> None:
    assert measure(["ab", "cd"], ["ab", "ab"])["unique"] == 0.75
    assert measure(["ab", "cd"], ["ab", "cd"])["distinct_1"] == 1.0  # equal over prompts is no loss


def test_texts_too_short_for_an_ngram_have_none(measure: Callable) -> None:
    assert measure(["", "a"])["distinct_2"] == 0.0


def test_only_the_first_problems_are_sampled(
    make_policy: Callable, make_engine: Callable, make_context: Callable
) -> None:
    engine, problems = make_engine(), make_context().problems(6, 1)
    report = Diversity(samples=3, problems=2, temperature=0.5).evaluate(
        make_policy(engine), Exam(problems=problems, verify=lambda *_: None)
    )
    assert len(engine.seen) == 2 and report.metrics["unique"].n == 2
    [(n, sampling, _)] = engine.calls
    assert n == 3 and sampling.temperature == 0.5
