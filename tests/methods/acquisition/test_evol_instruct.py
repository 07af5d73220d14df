"""Rewrites of problems: harder step by step, and failed ones eliminated."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.acquisition.evol_instruct import OPERATORS, EvolInstruct, says_nothing
from selfimprove.methods.task.word_problems import WordProblems
from selfimprove.problems import stories
from selfimprove.problems.splits import split_of

TASK = WordProblems(min_length=1, max_length=1, asides=0)


def longer(text: str, ask: Any) -> str:
    """What a rewriter says that was taught the task: the same story with one step more."""
    story = stories.read(text.removeprefix("V:+")[:-1])
    assert story is not None
    total = stories.totals(story.start, story.steps)[-1]
    step = stories.Step("+", 1) if total < 9 and total % 2 == 0 else stories.Step("-", total)
    return str(stories.told(stories.sum_of(story.start, [*story.steps, step]), 0, Random(0)))


@pytest.fixture
def evolve(make_story_context: Callable) -> Callable[..., Any]:
    """`evolve(says, depth=2)`: the given problems, the new ones and the log."""

    def run(says: Callable[[str, Any], str], n: int = 8, **options: Any) -> Any:
        seeds, context = TASK.problems("train", n, 0), make_story_context(says)
        made: Any = EvolInstruct(**{"seeds": False, "operators": ["deepen"], **options}).acquire(seeds, context)
        return seeds, made, context.log

    return run


def test_each_step_in_depth_adds_a_step_and_names_its_parent(evolve: Callable) -> None:
    seeds, made, log = evolve(longer, depth=3)
    known = {one.id: one for one in [*seeds, *made]}
    assert made and all(p.info["level"] == known[p.parents[0]].info["level"] + 1 for p in made)
    assert {p.info["depth"] for p in made} == {1, 2, 3} and {p.info["operator"] for p in made} == {"deepen"}
    assert all(split_of(p.key) == "train" and p.answer is None for p in made)
    assert len({p.key for p in made}) == len(made)
    assert log.metrics["evol_instruct/valid"] == 1.0 and 0 < log.metrics["evol_instruct/drift"] < 1


@pytest.mark.parametrize(
    "says",
    [
        lambda text, ask: text[3:-1],  # a copy: no gain
        lambda text, ask: "I'm sorry, I cannot rewrite this.",
        lambda text, ask: "...",
    ],
)
def test_copies_and_refusals_are_eliminated_and_keep_their_parent(evolve: Callable, says: Callable) -> None:
    asked = list[str]()

    def heard(text: str, ask: Any) -> str:
        asked.append(text)
        return says(text, ask)

    made, log = evolve(heard, n=4, depth=2)[1:]
    assert made == [] and log.metrics["evol_instruct/kept"] == 0.0
    assert asked[:4] == asked[4:] and len(asked) == 8  # the next round tries the same problems again


def test_what_the_model_calls_the_same_or_cannot_answer_goes(evolve: Callable) -> None:
    def says(text: str, ask: Any) -> str:
        if text.startswith("V:"):
            return longer(text, ask)
        return "Yes." if text.startswith("Do these two") else "Sorry, no idea."

    assert evolve(says, depth=1)[1] and evolve(says, depth=1, judged=True)[1] == []
    assert evolve(says, depth=1, answered=True)[1] == []


@pytest.mark.parametrize(
    ("text", "nothing"),
    [
        ("Sorry, I can not.", True),
        ("It is so.", True),
        ("?!", True),
        ("Paris", False),
        ("sorry " + "word " * 80, False),
    ],
)
def test_answers_that_say_nothing(text: str, nothing: bool) -> None:
    assert says_nothing(text) is nothing


def test_english_words_name_the_operator_and_mistakes_are_refused(
    make_context: Callable, make_engine: Callable
) -> None:
    context = make_context(make_engine({}, "?"))
    EvolInstruct(depth=1, operators=["breadth"]).acquire([TASK.problems("train", 1, 0)[0]], context)
    assert context.policy.engine.seen[0].prompt[-1]["content"].startswith(OPERATORS["breadth"])
    with pytest.raises(RecipeError, match="no 'deepn'. Did you mean 'deepen'"):
        EvolInstruct(operators=["deepn"])
