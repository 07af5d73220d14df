"""Votes: weights, ranks and ties, by hand and by their properties."""

from __future__ import annotations

import math
import random
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.inference.ballots import Candidate, borda, candidate_of, shares, totals, winner
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.records import Prompt, Rollout

rows = st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(-9, 0), st.integers(1, 4)), min_size=1)


def candidates(*said: tuple[str | None, float, int]) -> list[Candidate]:
    return [Candidate(answer=answer, logprob=logprob, tokens=tokens) for answer, logprob, tokens in said]


@pytest.mark.parametrize(
    ("said", "weights", "place"),
    [
        ([("a", -4, 2), ("b", -1, 1), ("a", -6, 2)], None, 0),  # two votes against one
        ([("a", -4, 2), ("b", -1, 1), ("a", -6, 2)], [1.0, 3.0, 1.0], 1),
        ([("a", -4, 2), ("b", -1, 1)], None, 1),  # a tie: the likelier answer per token
        ([("a", -2, 2), ("b", -1, 1)], None, 0),  # a tie: the first seen
        ([("a", -4, 2), ("a", -1, 1)], [2.0, 1.0], 0),  # the heaviest of the answer's candidates
        ([(None, 0, 1), (None, 0, 1), ("b", -9, 1)], None, 2),  # what has no answer cannot win
        ([(None, 0, 1), (None, -1, 1)], [1.0, 5.0], 0),  # nothing to choose from
    ],
)
def test_the_heaviest_answer_wins(said: list, weights: list[float] | None, place: int) -> None:
    assert winner(candidates(*said), weights) == place


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_candidates_changes_no_answer_but_of_a_tie(said: list, chance: random.Random) -> None:
    one = candidates(*said)
    turned = chance.sample(one, len(one))
    won, again = one[winner(one)], turned[winner(turned)]
    sums = sorted(totals(one).values())
    if len(sums) < 2 or sums[-1] != sums[-2]:
        assert won.answer == again.answer
    assert totals(one).get(str(won.answer), 0) == max(totals(one).values(), default=0)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8))
def test_ranks_and_shares_keep_the_order_of_the_values(values: list[float]) -> None:
    weights = borda(values, 1.0)
    assert sorted(weights) == [float(place + 1) for place in range(len(values))]
    assert borda(values, 0.0) == [1.0] * len(values)
    parts = shares(values, 0.5)
    assert math.isclose(sum(parts), 1.0)
    best = values.index(max(values))
    assert weights[best] == len(values) and parts[best] == max(parts)
    assert all(math.isclose(one, 1 / len(values), rel_tol=1e-6) for one in shares(values, 1e9))


def test_a_rollout_as_a_candidate_has_its_confidence() -> None:
    asked = Prompt(prompt=[{"role": "user", "content": "q"}])
    tops = [{"a": math.log(0.5), "b": math.log(0.5)}, {"c": math.log(0.9), "d": math.log(0.1)}]
    said = Rollout(
        prompt=asked, completion=[{"role": "assistant", "content": "x"}], logprobs={"sum": -3.0, "count": 2}, tops=tops
    )
    made = candidate_of(said, "x")
    assert (made.tokens, made.logprob, made.mean_logprob) == (2, -3.0, -1.5)
    assert made.noted["confidence"] == pytest.approx([math.log(2), -math.log(0.9 * 0.1) / 2])


def test_a_vote_of_stored_samples_is_that_of_a_session(table_model: ModuleType) -> None:
    """What a model would answer, found without it."""
    engine = table_model.TableModel(table=lambda messages: {"#1": 0.4, "#2": 0.35, "so #3": 0.25})
    method = SelfConsistency(samples=6, weights="logprob")
    made = table_model.answered(method, 8, engine)
    task = table_model.Quiz()
    for answer, ask in zip(made, list(engine.asked), strict=True):
        [stored] = engine.draw([ask], None)
        seen: list[Candidate] = []
        while n := method.more(seen):
            some = stored[len(seen) : len(seen) + n]
            seen += [candidate_of(one, task.answer_of(one.text)) for one in some]
        assert stored[method.choose(seen)].text == answer.text
