"""Advice from the best and the worst attempt makes better ones; what they are worth decides, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.refinement.tpo import Tpo
from selfimprove.records import Message


def table(messages: Sequence[Message]) -> Mapping[str, float]:
    """Attempts are #1 or #2, never #4. The judge finds larger ones better; whoever follows good advice says #4."""
    role, *parts = messages[-1]["content"].split("\n")
    match role:
        case "contrast":
            return {f"{parts[1]} over {parts[2]}": 1.0}
        case "advise":
            return {f"more than {parts[2]}": 1.0}
        case "repair":
            return {"#4" if parts[2] == "more than #2 over #1" else "#0": 1.0}
        case "judge":
            return {"#yes" if parts[1] in ("#2", "#4") else "#no": 1.0}
    return {"#1": 0.5, "#2": 0.5}


def test_a_new_attempt_that_is_worth_no_more_changes_nothing(table_model: ModuleType) -> None:
    task = table_model.Quiz(own_words=True)
    made = table_model.answered(Tpo(rounds=1, temperature=1.0), 40, table, task=task)
    plain = table_model.answered(Tpo(rounds=0, temperature=1.0), 40, table, task=task)
    assert [one.text for one in made] == [one.text for one in plain], "#4 is worth no more than #2"
    spent = [one.info["spent"]["completions"] for one in made]
    assert {*spent} <= {5 + 5, 5 + 5 + 2 + 5 + 5} and spent.count(22) > 30, "all five are alike in 1 of 16"


def test_a_new_attempt_that_is_worth_more_is_the_answer(table_model: ModuleType) -> None:
    """The reward is the number that an attempt says."""
    rates = {
        "rewards": lambda by, groups, policy: [[float(one.text.strip("#")) for one in group] for group in groups],
        "task": table_model.Quiz(own_words=True),
    }
    made = table_model.answered(Tpo(rounds=1, value="reward.size", temperature=1.0), 20, table, **rates)
    assert {one.text for one in made if one.info["spent"]["completions"] > 5} == {"#4"}


def test_who_rates_is_checked() -> None:
    with pytest.raises(RecipeError, match=r"refinement.tpo.value takes judge, votes, model, verifier or reward.NAME"):
        Tpo(value="me")
    assert Tpo(rounds=0, value="votes").needs().roles == ()
