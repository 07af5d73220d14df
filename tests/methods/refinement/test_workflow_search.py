"""A planted best workflow is found within the budget, and every trial that was paid for is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.refinement.workflow_search import WorkflowSearch
from selfimprove.records import Message

VOTE, REVISE = "self_consistency:samples=25,temperature=1", "revise"


def helps(revising: Mapping[str, float]) -> Callable[[Sequence[Message]], Mapping[str, float]]:
    """The right answer #4 is the most frequent one; revising gives this."""
    return lambda messages: revising if messages[-1]["content"].startswith("refine") else {"#4": 0.6, "#5": 0.4}


@pytest.fixture
def searched(table_model: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """`searched(table, seed=0, state={}, **options)`: what `fit` learns, and the answers with it."""

    def run(table: Any, seed: int = 0, state: Mapping[str, Any] = {}, **options: Any) -> Any:
        task = table_model.Quiz()
        method = WorkflowSearch(**{"operators": [VOTE, REVISE], "problems": 12, **options})
        policy = table_model.policy_of(method, table_model.TableModel(table=table), task)
        context = replace(table_model.context_of(policy.held(method), task, tmp_path), state=state, seed=seed)
        made = method.fit(context)
        answers = replace(policy, states=(made,)).answer(task.problems("test", 12, 1))
        return SimpleNamespace(**made, right=sum(one.reward for one in answers) / 12, answers=answers)

    return run


def test_the_planted_workflow_is_found(searched: Callable) -> None:
    """Revising spoils what it sees, and a vote on what was spoiled does not help."""
    found = [searched(helps({"#5": 1.0}), seed, workflows=6) for seed in range(10)]
    assert sum(one.workflow in ([VOTE], [VOTE, VOTE]) for one in found) >= 9
    assert sum(one.right >= 10 / 12 for one in found) >= 9
    for one in found:
        assert len(one.tried) == 6 == len({tuple(chain) for chain, _ in one.tried}) and one.tried[0][0] == []
        assert max(share for _, share in one.tried) == {tuple(c): s for c, s in one.tried}[tuple(one.workflow)]


def test_operators_follow_each_other(searched: Callable) -> None:
    """Only a revision of a majority is right: the reviser turns #5 into #6 and #4 into the answer."""

    def table(messages: Sequence[Message]) -> Mapping[str, float]:
        asked = messages[-1]["content"]
        if asked.startswith("refine"):
            return {"#4" if asked.endswith("#9") else "#6": 1.0}
        return {"#9": 0.6, "#5": 0.4}

    made = searched(table, workflows=7)
    assert made.workflow[-1] == REVISE and made.right > 0.5 and len(made.tried) == 7
    assert made.answers[0].info["spent"]["completions"] >= 2


def test_nothing_stays_where_nothing_helps(searched: Callable) -> None:
    sure = searched(lambda messages: {"#4": 1.0}, workflows=20)
    assert sure.workflow == [] and len(sure.tried) == 7, "all chains of two operators"
    assert "spent" not in sure.answers[0].info
    first = searched(lambda messages: {"#4": 1.0}, workflows=2, state={"workflow": [REVISE]})
    assert first.tried == [[[], 1.0], [[REVISE], 1.0]], "the one of before is tried first"
    assert searched(lambda messages: {"#4": 1.0}, workflows=1, state={"workflow": ["gone"]}).tried == [[[], 1.0]]


@pytest.mark.parametrize(
    ("operator", "said"),
    [
        ("self_consistancy", "Did you mean 'self_consistency'"),
        ("self_consistency:sample=2", "self_consistency has no option 'sample'"),
        ("few_shot", "few_shot learns in fit or from whole sets"),
        ("ttrl", "ttrl learns in fit or from whole sets"),
    ],
)
def test_operators_that_do_not_fit_are_named(operator: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        WorkflowSearch(operators=[operator])
