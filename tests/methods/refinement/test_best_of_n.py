"""The highest score wins, and nothing but the order of the scores matters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import UserError
from selfimprove.inference.ballots import Candidate
from selfimprove.interfaces import Sampling
from selfimprove.methods.refinement.best_of_n import BestOfN
from selfimprove.problems.calculator import Calculator

scores = st.lists(st.integers(-50, 0), min_size=1, max_size=10)


@pytest.fixture
def best(make_policy: Callable, given_engine: Callable, make_rollout: Callable) -> Callable[..., int]:
    """`best([(-2.0, 4), ...])`: the place of the winner among completions of (log-probability, tokens)."""

    def run(rows: list[tuple[float, int]], **options: Any) -> int:
        group = [make_rollout(str(i), logprobs={"sum": s, "count": n}) for i, (s, n) in enumerate(rows)]
        [rollout] = make_policy(given_engine([group]), BestOfN(**options)).answer([group[0].prompt])
        return int(rollout.text)

    return run


@given(scores, st.sampled_from([lambda s: 3 * s - 7, lambda s: s**3, lambda s: math.exp(s / 10), lambda s: s / 1e6]))
def test_a_monotone_change_of_the_scores_changes_nothing(best: Callable, values: list[int], change: Callable) -> None:
    assert best([(change(value), 1) for value in values]) == best([(value, 1) for value in values])


@given(scores)
def test_the_highest_wins_and_of_equal_ones_the_first(best: Callable, values: list[int]) -> None:
    assert best([(value, 1) for value in values]) == values.index(max(values))
    assert best([(value, 5) for value in values]) == best([(value, 5) for value in values], per_token=False)


def test_per_token_does_not_punish_length(best: Callable) -> None:
    rows = [(-3.0, 2), (-4.0, 8)]
    assert best(rows) == 1 and best(rows, per_token=False) == 0
    assert best([(-1.0, 0), (-2.0, 1)]) == 0  # an empty completion counts as one token


def test_more_samples_give_a_likelier_answer(
    make_policy: Callable, make_engine: Callable, make_context: Callable
) -> None:
    problems = make_context().problems(100, 1)
    table = {prompt.prompt[-1]["content"]: {str(i): 2.0**-i for i in range(8)} for prompt in problems}

    def mean_place(samples: int) -> float:
        policy = make_policy(make_engine(table), BestOfN(samples=samples, temperature=1.0))
        return sum(int(rollout.text) for rollout in policy.answer(problems)) / len(problems)

    assert mean_place(16) < 0.05 < mean_place(2) < mean_place(1)


def test_the_options_reach_the_engine(make_policy: Callable, make_engine: Callable, make_prompt: Callable) -> None:
    engine = make_engine()
    make_policy(engine, BestOfN(samples=3, temperature=0.9)).answer([make_prompt()])
    assert [(n, sampling) for n, sampling, _ in engine.calls] == [(3, Sampling(temperature=0.9))]


def test_an_engine_without_log_probabilities_is_a_users_mistake(
    make_policy: Callable, given_engine: Callable, make_rollout: Callable
) -> None:
    group = [make_rollout("a"), make_rollout("b")]
    with pytest.raises(UserError, match="log-probabilities"):
        make_policy(given_engine([group]), BestOfN()).answer([group[0].prompt])


# ---- scorers -----------------------------------------------------------------------------------------------------
RIGHT = 0.4
SAYS = {"#4": RIGHT, "#5": 0.35, "#6": 0.25}


def truth(sign: float) -> Callable:
    """A reward that knows the answer, or is always wrong."""
    return lambda by, groups, policy: [[sign * float(one.text == "#4") for one in group] for group in groups]


def judging(right: float) -> Callable[[Sequence[Any]], dict[str, float]]:
    """A model whose judgements are right so often."""

    def table(messages: Sequence[Any]) -> dict[str, float]:
        role, _, attempt = messages[-1]["content"].rpartition("\n")
        if not role.startswith("judge"):
            return SAYS
        good = attempt == "#4"
        return {"#yes": right, "#no": 1 - right} if good else {"#no": right, "#yes": 1 - right}

    return table


@pytest.mark.parametrize(
    ("sign", "share"),
    [(1.0, 1 - (1 - RIGHT) ** 4), (0.0, RIGHT), (-1.0, RIGHT**4)],
    ids=["oracle is pass@4", "no opinion is pass@1", "adversary"],
)
def test_the_accuracy_under_a_reward_has_a_closed_form(table_model: ModuleType, sign: float, share: float) -> None:
    method = BestOfN(samples=4, temperature=1.0, scorer="reward", reward="known")
    made = table_model.answered(method, 300, lambda messages: SAYS, rewards=truth(sign))
    right = sum(one.reward for one in made) / 300
    assert abs(right - share) < 3 * math.sqrt(share * (1 - share) / 300)


@pytest.mark.parametrize("right", [1.0, 0.0])
def test_a_judge_is_as_good_as_its_judgements(table_model: ModuleType, right: float) -> None:
    method = BestOfN(samples=4, temperature=1.0, scorer="judge")
    made = table_model.answered(method, 200, judging(right))
    share = 1 - (1 - RIGHT) ** 4 if right else RIGHT**4
    assert abs(sum(one.reward for one in made) / 200 - share) < 3 * math.sqrt(share * (1 - share) / 200)
    assert all(one.info["spent"]["completions"] == 8 for one in made)


def test_an_executor_finds_what_a_calculator_does_not_confirm(table_model: ModuleType) -> None:
    table = {"1+1=2 #4": 0.3, "1+1=3 #5": 0.7}
    method = BestOfN(samples=6, temperature=1.0, scorer="executor", tool="calculator")
    task = table_model.Quiz(own_tools={"calculator": Calculator()})
    made = table_model.answered(method, 60, lambda messages: table, task=task)
    share = 1 - 0.7**6
    assert abs(sum(one.reward for one in made) / 60 - share) < 3 * math.sqrt(share * (1 - share) / 60)
    assert all(one.info["spent"]["calls"] == 6 for one in made)
    with pytest.raises(UserError, match=r"best_of_n\.tool takes calculator, tests"):
        BestOfN(tool="abacus")


def test_more_samples_exploit_a_bad_proxy(table_model: ModuleType) -> None:
    """A reward that likes one rare wrong answer best: its score rises with the samples, and accuracy falls."""
    table = {"#4": 0.6, "#5": 0.35, "hacked #9": 0.05}
    likes = lambda by, groups, policy: [[float(len(o.text)) + (o.text == "#4") for o in g] for g in groups]  # noqa: E731
    right, proxy = [], []
    for samples in (2, 16, 64):
        method = BestOfN(samples=samples, temperature=1.0, scorer="reward", reward="length")
        made = table_model.answered(method, 100, lambda messages: table, rewards=likes)
        right.append(sum(one.reward for one in made) / 100)
        proxy.append(sum(len(one.text) for one in made) / 100)
    assert right[0] > right[1] > right[2] and proxy[0] < proxy[1] < proxy[2]


def test_a_weighted_vote_adds_up_the_scores_of_equal_answers() -> None:
    said = [Candidate(answer=a, tokens=1, logprob=math.log(p)) for a, p in (("1", 0.3), ("1", 0.3), ("2", 0.5))]
    assert [BestOfN(vote=vote).choose(said) for vote in (False, True)] == [2, 0]
    marked = [Candidate(answer=a, score=s) for a, s in (("1", 0.4), ("1", 0.3), ("2", 0.6), (None, 9.0))]
    rated: dict[str, Any] = {"scorer": "reward", "reward": "x"}
    assert [BestOfN(vote=vote, **rated).choose(marked) for vote in (False, True)] == [3, 0]
    assert BestOfN(vote=True, **rated).choose([Candidate(answer="1", score=-math.inf)]) == 0
    with pytest.raises(UserError, match="go together"):
        BestOfN(scorer="reward")
    with pytest.raises(UserError, match="has not scored"):
        BestOfN(scorer="judge").choose([Candidate(answer="1")])
