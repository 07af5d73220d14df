"""Voting: it lifts a model that is right more often than not, and drags down one that is not."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from selfimprove.errors import RecipeError
from selfimprove.inference.ballots import Candidate
from selfimprove.interfaces import Policy, Sampling
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.records import Rollout


def plurality(p: float, n: int) -> float:
    """P(Bin(n, p) > n / 2): two answers, an odd number of votes."""
    return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n // 2 + 1, n + 1))


@pytest.mark.parametrize(("p", "samples"), [(0.6, 5), (0.6, 15), (0.4, 5), (0.4, 15), (0.5, 5)])
def test_with_two_answers_accuracy_is_the_binomial_plurality(
    make_policy: Callable, make_engine: Callable, make_context: Callable, p: float, samples: int
) -> None:
    problems = make_context().problems(500, 1)
    answers = {
        prompt.prompt[-1]["content"]: {f"#{prompt.answer}": p, f"#{(int(prompt.answer) + 1) % 10}": 1 - p}
        for prompt in problems
    }
    policy = make_policy(make_engine(answers), SelfConsistency(samples=samples, temperature=1.0))
    right = sum(rollout.text == f"#{rollout.prompt.answer}" for rollout in policy.answer(problems)) / len(problems)
    expected = plurality(p, samples)
    assert abs(right - expected) < 3 * math.sqrt(expected * (1 - expected) / len(problems))
    assert (right > p) == (p > 0.5) or p == 0.5


@pytest.fixture
def vote(make_policy: Callable, given_engine: Callable, make_rollout: Callable) -> Callable[..., str]:
    """`vote(("#1", -2.0, 4), ...)`: the text that wins among completions of (text, log-probability, tokens)."""

    def run(*rows: tuple[str, float, int]) -> str:
        group = [make_rollout(text, logprobs={"sum": total, "count": count}) for text, total, count in rows]
        policy: Policy = make_policy(given_engine([group]), SelfConsistency())
        [rollout] = policy.answer([group[0].prompt])
        return rollout.text

    return run


def test_the_most_frequent_answer_wins_by_its_likeliest_completion(vote: Callable) -> None:
    assert vote(("a#1", -0.1, 1), ("b#2", -9.0, 3), ("c#2", -4.0, 2), ("d#2", -8.0, 2)) == "c#2"  # -2 nats a token


def test_completions_without_an_answer_cannot_win(vote: Callable) -> None:
    assert vote(("lost", -0.1, 1), ("lost", -0.1, 1), ("a#1", -9.0, 1)) == "a#1"
    assert vote(("lost", -3.0, 1), ("also lost", -0.1, 1)) == "lost"  # nobody has one: the first is returned


def test_a_tie_goes_to_the_likelier_answer_and_then_to_the_first(vote: Callable) -> None:
    assert vote(("a#1", -2.0, 2), ("b#2", -1.0, 2)) == "b#2"
    assert vote(("a#1", -2.0, 2), ("b#2", -1.0, 1)) == "a#1"


def test_an_engine_without_log_probabilities_can_vote(
    make_policy: Callable, given_engine: Callable, make_rollout: Callable
) -> None:
    group: list[Rollout] = [make_rollout("a#1"), make_rollout("b#2"), make_rollout("c#2")]
    [rollout] = make_policy(given_engine([group]), SelfConsistency()).answer([group[0].prompt])
    assert rollout.text == "b#2"


def test_the_options_reach_the_engine(make_policy: Callable, make_engine: Callable, make_prompt: Callable) -> None:
    engine = make_engine()
    make_policy(engine, SelfConsistency(samples=40, temperature=0.5)).answer([make_prompt()])
    assert [(n, sampling) for n, sampling, _ in engine.calls] == [(40, Sampling(temperature=0.5))]


def test_weights_by_log_probability_let_one_sure_answer_win() -> None:
    """exp(-0.1) > exp(-1) + exp(-2); without weights two votes win."""
    said = [Candidate(answer=a, logprob=p, tokens=1) for a, p in (("1", -1.0), ("1", -2.0), ("2", -0.1))]
    assert [SelfConsistency(weights=weights).choose(said) for weights in ("none", "logprob")] == [0, 2]
    with pytest.raises(RecipeError, match="Did you mean 'logprob'"):
        SelfConsistency(weights="logprobs")
