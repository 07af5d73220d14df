"""New problems from the model: readable, for training, new, and unlike what is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.acquisition.self_instruct import SelfInstruct, _common
from selfimprove.problems.splits import split_of
from selfimprove.records import Prompt

NEW, OTHER, HELD, JUNK = "4+1+1+1", "3+5+8+1", "2+2+2+3", "no problem"


@pytest.fixture
def write(make_context: Callable, make_engine: Callable, make_prompt: Callable) -> Callable[..., Any]:
    """`write([NEW, JUNK], levels=[4])`: the new problems of a round with the seed 3+5+8, and the context."""

    def run(proposals: Sequence[str], **options: Any) -> tuple[list[Prompt], Any]:
        assert split_of(NEW) == split_of(OTHER) == "train" != split_of(HELD)
        context = make_context(make_engine({"P:|": dict.fromkeys(proposals, 1.0)}))
        made: Sequence[Any] = SelfInstruct(**{"problems": 60, **options}).acquire([make_prompt()], context)
        return [prompt for prompt in made if prompt != make_prompt()], context

    return run


def test_what_is_read_new_and_not_held_out_is_kept_once(write: Callable) -> None:
    made, context = write([NEW, OTHER, HELD, JUNK, "3+5+8"])
    assert sorted(p.key for p in made) == sorted([NEW, OTHER])
    assert {p.prompt[-1]["content"] for p in made} == {f"S:{NEW}=", f"S:{OTHER}="}
    assert context.log.metrics["self_instruct/fresh"] == pytest.approx(2 / 60)
    assert 0.6 < context.log.metrics["self_instruct/valid"] < 1.0


def test_the_model_s_problems_have_no_answer_unless_one_is_asked_for(write: Callable) -> None:
    assert [p.answer for p in write([NEW])[0]] == [None]
    assert [p.answer for p in write([NEW], answers=True)[0]] == ["7"]


def test_the_seeds_go_first_or_stay_away(make_context: Callable, make_engine: Callable, make_prompt: Callable) -> None:
    seed = make_prompt()
    context = make_context(make_engine({"P:|": {NEW: 1.0}}))
    assert SelfInstruct(problems=5).acquire([seed], context)[0] == seed
    alone: Sequence[Any] = SelfInstruct(problems=5, seeds=False).acquire([seed], context)
    assert [p.key for p in alone] == [NEW]


def test_an_echo_of_the_seed_gives_nothing(write: Callable) -> None:
    assert write(["3+5+8"])[0] == []


def test_levels_share_the_replies(make_context: Callable, make_engine: Callable) -> None:
    context = make_context(make_engine({}, JUNK))
    SelfInstruct(problems=7, levels=[4, 5]).acquire([], context)
    assert [p.prompt[-1]["content"] for p in context.policy.engine.seen] == ["P:4|", "P:5|"]
    assert context.policy.engine.calls[0][0] == 4  # of which one is left over


# ---- near copies -------------------------------------------------------------------------------------------------
def unlike(known: Sequence[str], new: Sequence[str], similarity: float = 0.7) -> list[str]:
    problems = [Prompt(prompt=[{"role": "user", "content": text}], key=text) for text in new]
    kept = SelfInstruct(similarity=similarity)._unlike([text.split() for text in known], problems)
    return [p.key for p in kept]


def test_rouge_by_hand() -> None:
    known = ["tom has two red apples and eats one"]  # 8 words
    assert unlike(known, ["tom has six red apples and eats one"]) == []  # 7 in common: F = 14 / 16
    assert unlike(known, ["how far does a train go in two hours"]) == ["how far does a train go in two hours"]
    assert unlike(["a b c d e f g x x x"], ["a b c d e f g y y y"]) == ["a b c d e f g y y y"]  # F = 0.7 exactly passes
    assert unlike(["a b c d"], ["d c b a"]) == ["d c b a"]  # the same words in another order: one in common
    assert unlike([], ["a b", "a b", "c d"]) == ["a b", "c d"]  # also of each other
    assert unlike(["a b"], ["a b"], similarity=1.0) == ["a b"]


@given(st.text(alphabet="abc", max_size=8), st.text(alphabet="abc", max_size=8))
def test_the_longest_common_subsequence(one: str, other: str) -> None:
    def subsequences(text: str) -> set[str]:
        found = {""}
        for letter in text:
            found |= {part + letter for part in found}
        return found

    assert _common(one, other) == max(map(len, subsequences(one) & subsequences(other)))


def test_a_reply_that_was_cut_off_states_nothing(
    make_context: Callable, make_engine: Callable, monkeypatch: Any
) -> None:
    engine = make_engine({"P:|": {NEW: 1.0}})
    plain = engine.draw

    def cut(*given: Any) -> Any:
        return [[replace(r, info={"finish_reason": "length"}) for r in group] for group in plain(*given)]

    monkeypatch.setattr(engine, "draw", cut)
    assert list(SelfInstruct(problems=3).acquire([], make_context(engine))) == []
