"""New problems from the model: readable, for training, new, and unlike what is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.methods.acquisition.self_instruct import SelfInstruct, unsuited
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


def test_a_reply_that_was_cut_off_states_nothing(
    make_context: Callable, make_engine: Callable, monkeypatch: Any
) -> None:
    engine = make_engine({"P:|": {NEW: 1.0}})
    plain = engine.draw

    def cut(*given: Any) -> Any:
        return [[replace(r, info={"finish_reason": "length"}) for r in group] for group in plain(*given)]

    monkeypatch.setattr(engine, "draw", cut)
    assert list(SelfInstruct(problems=3).acquire([], make_context(engine))) == []


# ---- exemplars ---------------------------------------------------------------------------------------------------
def test_requests_show_six_given_problems_and_two_of_the_model_s_own(
    make_context: Callable, given_engine: Callable, make_prompt: Callable
) -> None:
    keys = [
        key for key in ("+".join(map(str, [a, b, 1])) for a in range(9) for b in range(9)) if split_of(key) == "train"
    ]
    seeds, new, shown = [make_prompt(key) for key in keys[:10]], iter(keys[10:]), list[list[str]]()

    def says(ask: Any) -> str:
        shown.append(re.findall(r"^\d+\. S:(.*)=$", ask.prompt.prompt[-1]["content"], re.MULTILINE))
        return next(new)

    context = make_context(given_engine(says=says))
    method = SelfInstruct(problems=9, exemplars=8, batch=3, similarity=1.0, seeds=False)
    made: Sequence[Any] = method.acquire(seeds, context)
    assert [p.key for p in made] == keys[10:19]  # what an earlier group brought is shown in the next ones
    given = {seed.key for seed in seeds}
    assert [len({*one} - given) for one in shown] == [0] * 3 + [2] * 6
    assert all(len({*one}) == 8 for one in shown)
    known = {one.id for one in [*seeds, *made]}
    assert all(len(p.parents) == 8 and {*p.parents} <= known for p in made)
    assert context.log.metrics["self_instruct/kept"] == context.log.metrics["self_instruct/distinct"] == 1.0


def test_an_echo_of_what_is_shown_is_accepted_never(
    make_context: Callable, given_engine: Callable, make_prompt: Callable
) -> None:
    context = make_context(given_engine(says=lambda ask: re.findall(r"S:(.*)=", ask.prompt.prompt[-1]["content"])[0]))
    method = SelfInstruct(problems=12, exemplars=2, seeds=False)
    assert list(method.acquire([make_prompt(key) for key in (NEW, OTHER, "3+5+8")], context)) == []
    assert context.log.metrics["self_instruct/valid"] == 1.0 and context.log.metrics["self_instruct/kept"] == 0.0
    assert "none of 12 replies states a new problem" in context.log.notes[0]


def test_a_list_gives_several_problems(make_context: Callable, given_engine: Callable, make_prompt: Callable) -> None:
    context = make_context(given_engine(says=lambda ask: f"4. {NEW}\n5. {JUNK}\n6. {OTHER}\n7. 1+1+1"))
    method = SelfInstruct(problems=1, exemplars=3, listed=3, similarity=1.0, seeds=False)
    made: Sequence[Any] = method.acquire([make_prompt()], context)
    assert [p.key for p in made] == [NEW, OTHER]
    assert context.log.metrics["self_instruct/valid"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("Name three rivers of France.", False),
        ("Name three rivers", True),
        (" ".join(["word"] * 151), True),
        ("Describe the image in a sentence.", True),
        ("Imagine that you can fly home.", False),  # not a word of its own
        ("Write a program that sorts numbers.", True),
        ("- Name three rivers of France.", True),
        ("Écris un poème sur la mer.", True),
    ],
)
def test_the_paper_s_filters(text: str, out: bool) -> None:
    assert unsuited(text) is out
