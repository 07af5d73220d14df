"""Votes that stop early: they spend much less than the whole vote on the same samples, and answer as well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest

from selfimprove.inference.ballots import Candidate, Voting, candidate_of
from selfimprove.interfaces import Ask
from selfimprove.methods.refinement.adaptive_consistency import AdaptiveConsistency
from selfimprove.methods.refinement.cges import Cges, posterior
from selfimprove.methods.refinement.early_stopping_self_consistency import EarlyStoppingSelfConsistency
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.methods.refinement.threshold_stopping import ThresholdStopping
from selfimprove.records import Checkpoint

HARD = ((0.95, 0.02), (0.9, 0.05), (0.75, 0.1), (0.5, 0.25), (0.3, 0.6))
"""The probabilities of the right and of the most frequent wrong answer to each fifth of the questions; the rest is
spread over two more. Of the last fifth every vote loses."""
MOST, PROBLEMS = 40, 250
STOPPING = [
    AdaptiveConsistency(samples=MOST),
    EarlyStoppingSelfConsistency(samples=MOST),
    ThresholdStopping(samples=MOST),
    Cges(samples=MOST),
]


def says(messages: Sequence[Any]) -> dict[str, float]:
    right, wrong = HARD[int(messages[-1]["content"].removeprefix("q")) % len(HARD)]
    rest = (1 - right - wrong) / 2
    return {"#4": right, "#5": wrong, "#6": rest, "#7": rest}


@pytest.fixture(scope="module")
def stored(table_model: ModuleType) -> list[list[Candidate]]:
    """Samples of each question, drawn once."""
    task, engine = table_model.Quiz(), table_model.TableModel(table=says)
    asked = task.problems("test", PROBLEMS, 0)
    asks = [Ask(checkpoint=Checkpoint(path="weights"), prompt=one.blind(), n=MOST, seed=5) for one in asked]
    return [[candidate_of(one, task.answer_of(one.text)) for one in group] for group in engine.draw(asks, None)]


def replayed(method: Voting, stored: Sequence[Sequence[Candidate]]) -> tuple[float, float]:
    """The accuracy of a vote on stored samples, and the mean number of samples that it looks at."""
    right = used = 0
    for samples in stored:
        seen: list[Candidate] = []
        while n := method.more(seen):
            seen += samples[len(seen) : len(seen) + n]
        right += seen[method.choose(seen)].answer == "4"
        used += len(seen)
    return right / len(stored), used / len(stored)


@pytest.mark.parametrize("method", STOPPING, ids=lambda one: type(one).__name__)
def test_at_least_40_percent_of_the_samples_are_saved_within_one_point(method: Voting, stored: list) -> None:
    whole, most = replayed(SelfConsistency(samples=MOST), stored)
    early, used = replayed(method, stored)
    assert most == MOST and used <= 0.6 * MOST
    assert early >= whole - 0.01


def votes(*said: str | None) -> list[Candidate]:
    return [Candidate(answer=answer, tokens=1, logprob=-0.1) for answer in said]


@pytest.mark.parametrize(
    ("method", "said", "more"),
    [
        (AdaptiveConsistency(portion=4), "aaaa", 0),  # P(p > 1/2) under Beta(5, 1) is 31/32
        (AdaptiveConsistency(portion=4, threshold=0.97), "aaaa", 4),
        (AdaptiveConsistency(portion=4), "aaab", 4),  # 26/32
        (AdaptiveConsistency(portion=4, samples=5), "aaab", 1),
        (EarlyStoppingSelfConsistency(window=3), "abaaaa", 0),  # the second window agrees
        (EarlyStoppingSelfConsistency(window=3), "abbbba", 3),  # three in a row, but of two windows
        (ThresholdStopping(least=4), "aaab", 0),
        (ThresholdStopping(least=6), "aaab", 4),
        (ThresholdStopping(share=2, samples=7), "aaaab", 0),  # 4 against 1, and two are left
        (ThresholdStopping(share=2, samples=8), "aaaab", 3),
    ],
)
def test_when_enough_is_known(method: Voting, said: str, more: int) -> None:
    assert method.more(votes(*said)) == more


def test_what_has_no_answer_stops_nothing() -> None:
    assert all(method.more(votes(None, None, None, None)) > 0 for method in STOPPING)


def test_a_settled_vote_is_the_whole_vote(stored: list) -> None:
    exact = ThresholdStopping(samples=MOST, share=2)
    for samples in stored[:100]:
        whole = samples[SelfConsistency(samples=MOST).choose(samples)].answer
        place = next(n for n in range(MOST + 1) if not exact.more(samples[:n]))
        assert samples[exact.choose(samples[:place])].answer == whole or place == MOST


def test_the_posterior_is_that_of_bayes() -> None:
    """Confidences .8, .8 for a and .9 for b, K = 3: a has .8 * .8 * .05, b .1 * .1 * .9, another .1 * .1 * .05."""
    found = [
        Candidate(answer=answer, tokens=1, logprob=math.log(sure))
        for answer, sure in (("a", 0.8), ("a", 0.8), ("b", 0.9))
    ]
    products = [0.8 * 0.8 * 0.05, 0.1 * 0.1 * 0.9, 0.1 * 0.1 * 0.05]
    assert posterior(found) == pytest.approx({"a": products[0] / sum(products), "b": products[1] / sum(products)})
    assert Cges(threshold=0.7).more(found) == 0 and Cges(threshold=0.8).more(found) == 2
    rare = [*votes("a", "a"), Candidate(answer="b", tokens=1, logprob=math.log(0.99))]
    unsure = [Candidate(answer=one.answer, tokens=1, logprob=math.log(0.4)) for one in rare[:2]]
    assert Cges().choose([*unsure, rare[2]]) == 2, "one sure sample against two unsure ones"
