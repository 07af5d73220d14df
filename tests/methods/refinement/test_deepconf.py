"""The weakest stretch decides: what it is, who votes, and with what weight."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.inference.ballots import Candidate
from selfimprove.inference.confidence import confidence_of, edge
from selfimprove.methods.refinement.deepconf import Deepconf
from selfimprove.methods.refinement.self_consistency import SelfConsistency

TOKENS = [4.0, 2.0, 6.0, 8.0]


@pytest.mark.parametrize(
    ("window", "measure", "value"),
    [
        (2, "lowest", 3.0),
        (2, "tail", 7.0),
        (1, "lowest", 2.0),
        (9, "lowest", 5.0),  # a window longer than the completion takes its mean
        (2, "mean", 5.0),
        (1, "bottom", 2.0),  # one of four groups is at least the lowest tenth
    ],
)
def test_the_confidence_of_a_completion(window: int, measure: str, value: float) -> None:
    assert confidence_of(TOKENS, window, measure) == value
    assert confidence_of([], window, measure) == 0.0


@given(st.lists(st.floats(0, 30), min_size=1, max_size=40), st.floats(0, 100))
def test_edges_are_those_of_numpy(values: list[float], percent: float) -> None:
    import numpy

    assert edge(values, percent) == pytest.approx(float(numpy.percentile(values, percent)))


def voters(*said: tuple[str | None, float]) -> list[Candidate]:
    return [Candidate(answer=answer, tokens=1, logprob=-1.0, noted={"confidence": [sure]}) for answer, sure in said]


def test_the_unsure_do_not_vote_and_the_sure_count_more() -> None:
    found = voters(("a", 1.0), ("a", 1.5), ("a", 2.0), ("b", 3.0), ("b", 4.0))
    assert found[Deepconf(keep=100).choose(found)].answer == "b"  # 7 against 4.5
    found = voters(("a", 2.0), ("a", 2.0), ("a", 2.0), ("b", 3.0))
    assert [found[Deepconf(keep=keep).choose(found)].answer for keep in (100, 25)] == ["a", "b"]
    found = voters(("a", 2.0), (None, 9.0))
    assert Deepconf(keep=10).choose(found) == 0  # the surest has no answer: all vote


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-9, -1)), min_size=1, max_size=9))
def test_all_kept_and_alike_is_the_plain_vote(said: list) -> None:
    found = [Candidate(answer=answer, tokens=1, logprob=logprob) for answer, logprob in said]
    assert Deepconf(keep=100).choose(found) == SelfConsistency().choose(found)


def test_the_model_notes_what_is_needed(table_model: ModuleType) -> None:
    """Right completions are certain after their first token; wrong ones waver to the end, and are in the majority."""
    wavering = {f"maybe {a} or {b} #5": 0.6 / 9 for a in "xyz" for b in "xyz"}
    table = lambda messages: {"so #4": 0.4, **wavering}  # noqa: E731
    for tops in (20, 0):
        made = table_model.answered(Deepconf(samples=15, temperature=1.0, tops=tops, window=2, keep=25), 40, table)
        plain = table_model.answered(SelfConsistency(samples=15, temperature=1.0), 40, table)
        right, votes = (sum(one.text == "so #4" for one in some) for some in (made, plain))
        assert right >= 34 and votes <= 17  # P(Bin(15, 0.4) >= 4) is 0.91, P(>= 8) is 0.21
    with pytest.raises(RecipeError, match="Did you mean 'lowest'"):
        Deepconf(measure="lowes")
