"""New problems with the writer's own answer, which its later answers must agree with."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.acquisition.cot_self_instruct import CotSelfInstruct
from selfimprove.methods.task.word_problems import WordProblems
from selfimprove.problems import stories
from selfimprove.records import Prompt, Rollout

TASK = WordProblems(min_length=1, max_length=3, asides=0)


@pytest.fixture
def invent(make_story_context: Callable) -> Callable[..., Any]:
    """`invent(writer=0.7, solver=0.8, shared=...)`: problems of a writer and a solver that are right so often."""

    def run(writer: float, solver: float, shared: bool = False, **options: Any) -> Any:
        source, new = Random(0), iter(TASK.problems("train", 400, 5))

        def says(text: str, ask: Any) -> str:
            if text.startswith("Q:"):
                problem = next(new)
                wrong = shared or source.random() >= writer
                return f"{problem.prompt[0]['content'][2:]}####so #{(int(problem.answer or 0) + wrong) % 10}"
            story = stories.read(text[2:])
            assert story is not None
            right = stories.totals(story.start, story.steps)[-1]
            slip = 1 if shared else 0 if source.random() < solver else source.choice([1, 2])
            return f"so #{(right + slip) % 10}"

        context = make_story_context(says)
        made: Any = CotSelfInstruct(**{"problems": 200, "samples": 8, **options}).acquire(
            TASK.problems("train", 4, 0), context
        )
        return made, context.log.metrics, {p.key: p.answer for p in TASK.problems("train", 400, 5)}

    return run


def test_what_the_answers_agree_with_is_right_far_more_often(invent: Callable) -> None:
    made, metrics, truth = invent(writer=0.7, solver=0.8, sure=0.0)
    right = [p for p in made if p.answer == truth[p.key]]
    assert len(right) >= 0.98 * len(made)  # of what the writer states 0.7 are right
    assert len(right) >= 0.8 * 0.7 * metrics["cot_self_instruct/valid"] * 200 * 0.6  # repeated keys aside
    assert metrics["cot_self_instruct/right"] == pytest.approx(len(right) / len(made))
    assert {p.info["label"] for p in made} == {"own"} and all(len(p.parents) == 2 for p in made)


def test_one_answer_is_a_weaker_check_and_shared_errors_are_invisible(invent: Callable) -> None:
    one, several = (invent(writer=0.5, solver=0.6, samples=n, sure=0.0)[1] for n in (1, 16))
    assert one["cot_self_instruct/right"] < several["cot_self_instruct/right"]
    fooled = invent(writer=1.0, solver=1.0, shared=True, sure=0.0)
    assert fooled[0] and fooled[1]["cot_self_instruct/right"] == 0.0 and fooled[1]["cot_self_instruct/agreed"] == 1.0


def test_a_vote_needs_no_stated_answer_and_a_reward_no_answer(invent: Callable) -> None:
    made, _, truth = invent(writer=0.0, solver=0.9, check="vote")
    assert len([p for p in made if p.answer == truth[p.key]]) >= 0.95 * len(made) > 0
    assert invent(writer=0.0, solver=0.9, check="answer")[1]["cot_self_instruct/agreed"] < 0.1
    made = invent(writer=1.0, solver=1.0, check="reward")[0]
    assert made and {p.answer for p in made} == {None}
    with pytest.raises(RecipeError, match="check cannot be 'votes'. Did you mean 'vote'"):
        CotSelfInstruct(check="votes")


def test_the_lowest_reward_is_the_worth_of_a_problem(make_story_context: Callable) -> None:
    def group(*rewards: float | None) -> list[Rollout]:
        problem = Prompt(prompt=[{"role": "user", "content": "S:?"}])
        return [Rollout(prompt=problem, completion=[{"role": "assistant", "content": ""}], reward=r) for r in rewards]

    context = make_story_context(lambda text, ask: "", reward=lambda rollouts: list(rollouts))
    method = CotSelfInstruct(check="reward", samples=2, quantile=0.5)
    groups = [group(0.1, 0.9), group(0.5, 0.5), group(0.4, 0.6), group(0.0, 1.0)]
    assert [good for good, _ in method._labels([None] * 4, groups, context)] == [False, True, True, False]
