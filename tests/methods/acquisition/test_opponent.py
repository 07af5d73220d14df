"""SPIN: the reference wins every pair, the last model plays against it, and a model that writes the data has no pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.interfaces import Sampling
from selfimprove.methods.acquisition.opponent import Opponent
from selfimprove.methods.task.reasoning_gym import ReasoningGym


@pytest.fixture
def problems(task: Any) -> list:
    return task.problems("train", 30, 1)


def test_the_reference_is_chosen_and_the_own_sample_rejected(
    make_context: Callable, make_engine: Callable, task: Any, problems: list
) -> None:
    engine = make_engine(default="#?")
    context = make_context(engine, round=2)
    pairs = list(Opponent().acquire(problems, context))
    assert [p.prompt for p in pairs] == problems
    assert [p.chosen[-1]["content"] for p in pairs] == [task.roles().solution(p) for p in problems]
    assert {p.rejected[-1]["content"] for p in pairs} == {"#?"}
    assert {(p.source, p.parents == (p.prompt.id,)) for p in pairs} == {("opponent@2", True)}
    assert [(n, sampling) for n, sampling, _ in engine.calls] == [(1, Sampling(temperature=1.0))]
    assert {p.answer for p in engine.seen} == {None}


def test_a_sample_that_was_cut_off_is_rejected_as_one(
    make_context: Callable, given_engine: Callable, make_rollout: Callable, problems: list
) -> None:
    cut = [[make_rollout("3+5=", problem, info={"finish_reason": "length"})] for problem in problems]
    pairs: list = list(Opponent().acquire(problems, make_context(given_engine(cut))))
    assert [[side.ended for side in pair.sides] for pair in pairs] == [[True, False]] * 30


def test_no_reward_is_asked(make_context: Callable, make_engine: Callable, problems: list) -> None:
    """The winner is who wrote it, not who is right: hidden entries make some references wrong."""
    context = make_context(make_engine(default="#?"), reward=None, verify=None)
    assert len(Opponent().acquire(problems, context)) == 30


def test_where_the_model_writes_what_the_data_say_the_game_is_over(
    make_context: Callable, make_engine: Callable, task: Any, problems: list
) -> None:
    same = {p.prompt[-1]["content"]: {str(task.roles().solution(p)): 1.0} for p in problems}
    context = make_context(make_engine(same))
    assert list(Opponent().acquire(problems, context)) == []
    assert context.log.metrics == {"opponent/unlike": 0.0}


@pytest.mark.parametrize("mix", [True, False])
def test_the_pairs_of_one_round_before_are_mixed_in(
    make_context: Callable, make_engine: Callable, problems: list, tmp_path: Any, mix: bool
) -> None:
    folders = [tmp_path / str(number) for number in range(3)]
    made = []
    for number, folder in enumerate(folders):
        folder.mkdir()
        context = make_context(
            make_engine(default=f"#own {number}"),
            round=number + 1,
            folder=folder,
            previous=folders[number - 1] if number else None,
        )
        made.append(Opponent(mix=mix).acquire(problems[:4], context))
    sources = [[pair.source for pair in pairs] for pairs in made]
    before = ["opponent@1"] * 4 if mix else []
    assert sources[0] == ["opponent@1"] * 4 and sources[1] == [*before, *["opponent@2"] * 4]
    assert len(sources[2]) == (8 if mix else 4) and "opponent@1" not in sources[2]  # not all earlier rounds


def test_a_problem_without_a_reference_has_no_pair(
    make_context: Callable, make_engine: Callable, problems: list
) -> None:
    context = make_context(make_engine(), roles=ReasoningGym().roles())
    with pytest.raises(DataError, match="no problem of this task has a reference solution"):
        Opponent().acquire([replace(problems[0], answer=None)], context)
    assert Opponent().acquire([], make_context(make_engine())) == []


def test_the_reward_says_which_one_is_better(
    make_context: Callable, given_engine: Callable, make_prompt: Callable, worked: Callable
) -> None:
    """3+5+8: the own sample is right and the reference is not, both are right, and the other way round."""
    right, wrong, other = worked([3, 5, 8]), worked([3, 5, 8], slip=0), "#6"
    prompts = [make_prompt("3+5+8", info={"case": case}) for case in (0, 1, 2)]
    references = dict(zip((0, 1, 2), (wrong, right, right), strict=True))
    own = iter([right, other, wrong])

    class Roles:
        def solution(self, prompt: Any) -> str:
            return references[prompt.info["case"]]

    context = make_context(given_engine(says=lambda ask: next(own)), roles=Roles())
    pairs: list[Any] = list(Opponent(label="reward").acquire(prompts, context))
    assert [(p.chosen[-1]["content"], p.rejected[-1]["content"]) for p in pairs] == [(right, wrong), (right, wrong)]
    assert [p.prompt.info["case"] for p in pairs] == [0, 2]  # both right: neither is better
    assert context.log.metrics["opponent/own_is_better"] == pytest.approx(1 / 3)


def test_a_label_that_does_not_exist() -> None:
    with pytest.raises(RecipeError, match="label takes reference or reward"):
        Opponent(label="judge")
