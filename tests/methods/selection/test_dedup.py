"""Equal records count once; equal texts of different problems, and different texts of one problem, are not equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.selection.dedup import Dedup
from selfimprove.records import Document, Preference


def test_the_first_of_equal_rollouts_is_kept(make_context: Callable, make_rollout: Callable) -> None:
    offered = [
        make_rollout("a b", "1+2", reward=1.0),
        make_rollout("a b", "1+2", reward=0.0),  # equal: the score is not part of the text
        make_rollout(" a \n b ", "1+2"),  # equal: white space
        make_rollout("a b", "2+1"),
        make_rollout("A b", "1+2"),
        make_rollout("ab", "1+2"),
    ]
    kept = list(Dedup().select(offered, make_context()))
    assert kept == [offered[0], *offered[3:]]


def test_two_wordings_of_one_problem_are_one_problem(
    make_context: Callable, make_rollout: Callable, make_prompt: Callable
) -> None:
    one = make_prompt("1+2")
    other = replace(one, prompt=[{"role": "user", "content": "What is 1 plus 2?"}])
    offered = [one, other, make_prompt("2+1")]
    assert list(Dedup().select(offered, make_context())) == [offered[0], offered[2]]


def test_what_the_model_was_shown_counts(make_context: Callable, make_prompt: Callable, make_rollout: Callable) -> None:
    """Corrections of two attempts, and two wordings, are different rows to train on; so are pairs of them."""
    one = make_prompt("1+2")
    shown = [replace(one, prompt=[{"role": "user", "content": f"R:1+2={attempt}"}]) for attempt in ("#4", "#5", "#4 ")]
    answers = [make_rollout("#3", prompt) for prompt in (one, *shown)]
    assert list(Dedup().select(answers, make_context())) == answers[:3]
    pairs = [Preference.of(answer, make_rollout("#9", answer.prompt)) for answer in answers]
    assert list(Dedup().select(pairs, make_context())) == pairs[:3]


def test_pairs_and_documents(make_context: Callable, make_prompt: Callable) -> None:
    def pair(chosen: str, rejected: str) -> Preference:
        sides = ([{"role": "assistant", "content": text}] for text in (chosen, rejected))
        return Preference(prompt=make_prompt("1+2"), chosen=next(sides), rejected=next(sides))

    offered = [
        pair("a", "b"),
        pair("b", "a"),
        pair("a", "c"),
        pair("a ", " b"),
        Document(text="a"),
        Document(text="a "),
    ]
    assert list(Dedup().select(offered, make_context())) == [*offered[:3], offered[4]]


@given(
    st.lists(st.tuples(st.sampled_from(["1+2", "2+1"]), st.sampled_from(["x", "y", " x", "x y", "x\ty"])), max_size=15)
)
def test_it_keeps_one_of_each_in_order_and_a_second_pass_changes_nothing(
    make_context: Callable, make_rollout: Callable, rows: list[tuple[str, str]]
) -> None:
    context = make_context()
    offered = [make_rollout(text, key, info={"place": i}) for i, (key, text) in enumerate(rows)]
    kept = list(Dedup().select(offered, context))
    assert [(r.prompt.key, " ".join(r.text.split())) for r in kept] == list(
        dict.fromkeys((key, " ".join(text.split())) for key, text in rows)
    )
    places = [r.info["place"] for r in kept]
    assert places == sorted(places) and list(Dedup().select(kept, context)) == kept
