"""Solved problems: found by words or by embeddings, shown as turns, and the right attempt that is likeliest."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.inference.examples import Nearest, best_right, check_retrieval, row_of, shown
from selfimprove.methods.refinement.experience_memory import ExperienceMemory
from selfimprove.methods.refinement.few_shot import FewShot
from selfimprove.methods.refinement.ttt_neighbours import TttNeighbours
from selfimprove.records import Prompt, Rollout


def example(text: str, key: str = "") -> dict[str, Any]:
    return {"key": key or text, "prompt": [{"role": "user", "content": text}], "text": f"#{text}"}


def said(text: str, total: float, count: int, **info: Any) -> Rollout:
    asked = Prompt(prompt=[{"role": "user", "content": "q"}], key="q")
    logprobs = {"sum": total, "count": count}
    return Rollout(prompt=asked, completion=[{"role": "assistant", "content": text}], logprobs=logprobs, info=info)


def test_examples_stand_before_the_problem_and_behind_its_system_message() -> None:
    system = {"role": "system", "content": "be brief"}
    asked = Prompt(prompt=[system, {"role": "user", "content": "q"}], key="q")
    own = {**example("a"), "prompt": [{"role": "system", "content": "other"}, {"role": "user", "content": "a"}]}
    made = shown(asked, [own, example("b")])
    assert [one["content"] for one in made.prompt] == ["be brief", "a", "#a", "b", "#b", "q"]
    assert made.parents == (asked.id,) and shown(asked, []) is asked
    row = row_of(example("a"), [example("b")])
    assert [one["content"] for one in row.prompt.prompt] == ["b", "#b", "a"] and row.text == "#a"


def test_the_likeliest_of_the_right_ones_that_ended() -> None:
    drawn = [said("a", -4, 4), said("b", -1, 1), said("c", -1, 4), said("d", 0, 4, finish_reason="length")]
    assert best_right(drawn, [1, 1, 1, 1]) is drawn[2] and best_right(drawn, [1, 1, 0.5, 1]) is drawn[0]
    assert best_right(drawn, [0, 0, 0, 1]) is None


KNOWN = [example("two cats", "1"), example("cats eat", "2"), example("x", "3"), example("one dog", "q")]


@pytest.mark.parametrize("by", ["bm25", "embeddings"])
@pytest.mark.parametrize(("k", "keys"), [(1, ["2"]), (2, ["2", "1"]), (9, ["2", "1", "3"]), (0, [])])
def test_what_is_near_comes_first_and_never_the_problem_itself(
    table_model: ModuleType, by: str, k: int, keys: list[str]
) -> None:
    """The problem shares two words with the second and one with the first; embeddings here are counts of words."""
    asked = Prompt(prompt=[{"role": "user", "content": "cats eat mice"}], key="q")
    found: list[Any] = []

    class Looks(FewShot):
        async def answer(self, prompt: Prompt, session: Any) -> Rollout:
            found.extend(await Nearest(KNOWN, by).found(prompt, k, session))
            return (await session.attempts(prompt))[0]

    table_model.answered(Looks(retrieve=by), [asked], {})
    assert [one["key"] for one in found] == keys


def test_who_retrieves_says_what_it_needs() -> None:
    for method in (FewShot, ExperienceMemory, TttNeighbours):
        assert ("embed" in method().needs().engine, "embed" in method(retrieve="embeddings").needs().engine) == (
            False,
            True,
        )
        with pytest.raises(RecipeError, match=r"retrieve cannot be 'embedding'. Did you mean 'embeddings'"):
            method(retrieve="embedding")
    check_retrieval("few_shot.retrieve", "bm25")
