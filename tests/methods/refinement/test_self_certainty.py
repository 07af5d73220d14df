"""Sure completions count more; power 0 is the plain vote, and a large one takes the surest."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.inference.ballots import Candidate
from selfimprove.methods.refinement.self_certainty import SelfCertainty
from selfimprove.methods.refinement.self_consistency import SelfConsistency

ANSWERS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(-9, -1)), min_size=1, max_size=9)


def voters(*said: tuple[str, float, float]) -> list[Candidate]:
    return [
        Candidate(answer=answer, tokens=2, logprob=logprob, noted={"self_certainty": [sure, sure]})
        for answer, sure, logprob in said
    ]


@given(ANSWERS)
def test_power_0_is_the_vote_and_a_large_one_the_surest(said: list) -> None:
    found = voters(*said)
    assert SelfCertainty(power=0).choose(found) == SelfConsistency().choose(found)
    surest = max(range(len(found)), key=lambda place: found[place].noted["self_certainty"][0])
    assert SelfCertainty(power=100).choose(found) == surest


def test_the_weights_are_borda_counts() -> None:
    """Ranks of a, a, b are 3, 2, 1: with power 1 it is 1 + 2 against 3, a tie; a bit more and the surest wins."""
    found = voters(("a", 1, -1), ("a", 2, -1), ("b", 3, -9))
    assert [SelfCertainty(power=power).choose(found) for power in (0.9, 1.1)] == [1, 2]


@pytest.mark.parametrize("before", [False, True])
def test_it_is_noted_while_drawing_or_worked_out_later(table_model: ModuleType, before: bool) -> None:
    """`sure` has one token that is certain; the others part at their first."""
    engine = table_model.TableModel(table=lambda messages: {"#1 a": 0.3, "#1 b": 0.3, "so it is sure #2": 0.4})
    chain = [SelfConsistency(samples=1, temperature=1.0)] if before else []
    made = table_model.answered([*chain, SelfCertainty(samples=5, power=100)], 4, engine)
    assert {one.text for one in made} >= {"so it is sure #2"}
    assert len(engine.scored) == (20 if before else 0)
