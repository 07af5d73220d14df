"""Problems on a grid: every combination equally often, and what is asked for is measured."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.acquisition.attributed import Attributed
from selfimprove.methods.task.word_problems import WordProblems
from selfimprove.problems import stories
from selfimprove.problems.splits import split_of

TASK = WordProblems(min_length=1, max_length=3, asides=0)
GRID = {"level": ["2", "3"], "name": ["Ann", "Tom"], "thing": ["nuts", "keys"]}


def follows(text: str, ask: Any) -> str:
    """A story with the features that are asked for."""
    level, name, thing = re.fullmatch(r"G:(\d)([A-Z][a-z]+)(nuts|keys)\|", text).groups()  # type: ignore[union-attr]
    source = Random(ask.seed)
    story = stories.told(next(stories.sums(int(level), source)), 0, source)
    return str(stories.Story(name, thing, story.start, story.clauses))


@pytest.mark.parametrize("balanced", [True, False])
def test_what_is_asked_for_is_there_and_the_grid_is_covered(make_story_context: Callable, balanced: bool) -> None:
    context = make_story_context(follows)
    made: Any = Attributed(problems=160, attributes=GRID, balanced=balanced).acquire(
        TASK.problems("train", 3, 0), context
    )
    assert len(made) > 80 and {p.info["attributes"]["level"] for p in made} == {"2", "3"}
    assert all(str(p.info["level"]) == p.info["attributes"]["level"] for p in made)
    assert context.log.metrics["attributed/followed"] == 1.0 and context.log.metrics["attributed/spread"] > 0.95


def test_a_writer_that_ignores_the_request_is_seen(make_story_context: Callable) -> None:
    key = next(key for key in stories.sums(1, Random(0)) if split_of(key) == "train")
    told = stories.told(key, 0, Random(0))
    plain = str(stories.Story("Ann", "nuts", told.start, told.clauses))
    context = make_story_context(lambda text, ask: plain)
    made = Attributed(problems=16, attributes=GRID).acquire(TASK.problems("train", 3, 0), context)
    assert len(made) == 1 and context.log.metrics["attributed/followed"] == pytest.approx(1 / 3)
    assert context.log.metrics["attributed/distinct"] == pytest.approx(1 / 16)


def test_each_combination_is_asked_for_equally_often_and_the_model_lists_values(
    make_context: Callable, given_engine: Callable, make_prompt: Callable
) -> None:
    asked = list[str]()

    def says(ask: Any) -> str:
        text = ask.prompt.prompt[-1]["content"]
        asked.append(text)
        return "1. red\n2. blue\n3. red\n" if "List 3 values" in text else "?"

    context = make_context(given_engine(says=says))
    method = Attributed(problems=8, attributes={"size": ["big", "small"], "colour": []}, values=3)
    assert list(method.acquire([make_prompt()], context)) == []
    wanted = Counter(re.findall(r"size: (\w+)\ncolour: (\w+)", "\n".join(asked)))
    assert set(wanted.values()) == {2} and len(wanted) == 4
    with pytest.raises(RecipeError, match="attributes is empty: name some"):
        Attributed().preflight()
