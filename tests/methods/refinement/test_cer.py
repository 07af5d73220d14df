"""Numbers of the reasoning weigh an answer, later ones more."""

from __future__ import annotations

import math
from types import ModuleType

import pytest

from selfimprove.methods.refinement.cer import Cer, _numbers, _weighted
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.records import Prompt, Rollout

ASKED = Prompt(prompt=[{"role": "user", "content": "q0"}])


def test_the_weighted_mean_of_the_paper() -> None:
    assert _weighted([0.2, 0.5, 0.8]) == pytest.approx((0.2 + 2 * 0.5 + 3 * 0.8) / 6)
    assert _weighted([]) == 0.0


def test_each_number_is_scored_after_what_stands_before_it() -> None:
    said = Rollout(prompt=ASKED, completion=[{"role": "assistant", "content": "12 + 1,000.5 = 3 #7"}])
    found = [(one.prompt.prompt[-1]["content"], one.text) for one in _numbers(ASKED, said, 3)]
    assert found == [("12 + ", "1,000.5"), ("12 + 1,000.5 = ", "3"), ("12 + 1,000.5 = 3 #", "7")]
    assert all(one.ended is False for one in _numbers(ASKED, said, 3))


def test_sure_numbers_outweigh_a_majority(table_model: ModuleType) -> None:
    """Wrong answers come from a number that is a guess among four; the right one is certain after `well`.

    Weights: 8 #4 has c1 = c2 = 1, so 1; each guess n has c1 = 1/4 and c2 = 1, so (1/4 + 2) / 3 = 3/4. By votes the
    guesses, all with #5, have 0.58 of the samples; by weights 0.435 against 0.42, and single problems differ.
    """
    table = {"well 8 #4": 0.42, **{f"um {n} #5": 0.58 / 4 for n in (1, 2, 3, 6)}}
    engine = table_model.TableModel(table=lambda messages: table)
    made = table_model.answered(Cer(samples=9, temperature=1.0), 60, engine)
    assert all(one.info["spent"]["scored"] == 18 for one in made)
    [row] = engine.logprobs_of(table_model.policy_of((), engine).checkpoint, [engine.scored[0]])
    assert math.exp(sum(row)) == pytest.approx(1.0) or math.exp(sum(row)) == pytest.approx(0.25)
    plain = table_model.answered(SelfConsistency(samples=9, temperature=1.0), 60, lambda messages: table)
    for vote, weighed in zip(plain, made, strict=True):
        assert weighed.reward >= vote.reward  # what wins with 5 of 9 votes wins with their weights of 1 as well
    # Four right votes weigh 4, five guesses 3.75: problems with just four right ones change, 0.26 of all.
    assert 8 <= sum(one.reward for one in made) - sum(one.reward for one in plain) <= 24


def test_without_numbers_it_is_a_vote(table_model: ModuleType) -> None:
    table = {"so #a": 0.5, "#b": 0.3, "#c": 0.2}
    for samples in (1, 6):
        made, plain = (
            table_model.answered(method(samples=samples), 10, lambda messages: table)
            for method in (Cer, SelfConsistency)
        )
        assert [one.text for one in made] == [one.text for one in plain]
