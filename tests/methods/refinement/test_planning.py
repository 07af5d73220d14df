"""Plans, smaller questions and principles: what each draw sees, and what it makes of long problems."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import ModuleType

from selfimprove.methods.refinement.least_to_most import LeastToMost
from selfimprove.methods.refinement.plan_and_solve import PlanAndSolve
from selfimprove.methods.refinement.step_back import StepBack
from selfimprove.records import Message

N = 200


def test_several_plans_vote_where_one_would_fail(table_model: ModuleType) -> None:
    """A plan is good with .6 and cannot be corrected: one plan is right with .6, a vote of three with .648."""

    def table(messages: Sequence[Message]) -> Mapping[str, float]:
        role, *parts = messages[-1]["content"].split("\n")
        if role == "plan":
            return {"good": 0.6, "bad": 0.4}
        return {"#4" if parts[1] == "good" else "#1": 1.0}

    task, problems = table_model.Quiz(own_words=True), [table_model.Quiz().question(f"q{i}") for i in range(N)]
    for plans, right in ((1, 0.6), (3, 0.6**3 + 3 * 0.6**2 * 0.4)):
        made = table_model.answered(PlanAndSolve(plans=plans, temperature=1.0), problems, table, task=task)
        share = sum(one.reward for one in made) / N
        assert abs(share - right) < 3 * math.sqrt(right * (1 - right) / N)
        assert made[0].info["spent"]["completions"] == 2 * plans


def test_smaller_questions_are_answered_with_those_before_them(table_model: ModuleType) -> None:
    """A model that adds 1 at a time, and only when it sees where it stands: any number of steps is right."""

    def table(messages: Sequence[Message]) -> Mapping[str, float]:
        role, *parts = messages[-1]["content"].split("\n")
        match role:
            case "split":
                return {"\n".join([" ", *["add 1"] * int(parts[0][1:]), ""]): 1.0}
            case "part":
                return {str(int(parts[-2] or 0) + 1): 1.0}
            case "conclude":
                return {f"#{parts[-1]}": 1.0}
        return {"#1": 1.0}

    for count, reached in ((1, 1), (4, 4), (6, 5)):
        task = table_model.Quiz(own_words=True)
        [made] = table_model.answered(LeastToMost(steps=5), [task.question(f"q{count}")], table, task=task)
        assert made.text == f"#{reached}"
        assert made.info["spent"]["completions"] == 2 + reached


def test_solutions_see_the_principles(table_model: ModuleType) -> None:
    def table(messages: Sequence[Message]) -> Mapping[str, float]:
        role, *parts = messages[-1]["content"].split("\n")
        return {"add them": 1.0} if role == "abstract" else {f"{parts[-1]} #4" if parts else "#1": 1.0}

    [made] = table_model.answered(StepBack(samples=3), 1, table, task=table_model.Quiz(own_words=True))
    assert made.text == "add them #4" and made.info["spent"]["completions"] == 4
