"""Votes weigh by confidence, and agents that see the groups change their minds until they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.refinement.reconcile import Reconcile, weight
from selfimprove.records import Message


@pytest.mark.parametrize(
    ("confidence", "gets"),
    [(1.0, 1.0), (0.99, 0.8), (0.9, 0.8), (0.89, 0.5), (0.8, 0.5), (0.79, 0.3), (0.61, 0.3), (0.6, 0.1), (0.0, 0.1)],
)
def test_the_weights_are_those_of_the_authors_code(confidence: float, gets: float) -> None:
    assert weight(confidence) == gets


SURE = {"a #1": "I am 70 percent sure", "b #1": "70", "c #4": "100"}


def table(messages: Sequence[Message]) -> Mapping[str, float]:
    role, *parts = messages[-1]["content"].split("\n")
    match role:
        case "confidence":
            return {SURE.get(parts[1], "who knows"): 1.0}
        case "reconsider":
            told = [line for line in parts if "confidence" in line]
            return {"c #4" if any("answer 4 (confidence 1.00" in line for line in told) else "a #1": 1.0}
    return {"a #1": 0.35, "b #1": 0.3, "c #4": 0.35}


def test_the_surer_minority_wins_the_weighted_vote_and_convinces(table_model: ModuleType) -> None:
    """Of 3 agents, any that says 4 is heard: two that say 1 weigh .3 each. P(nobody says 4) = .65 ** 3."""
    problems = [table_model.Quiz().question(f"q{i}") for i in range(200)]
    for rounds in (0, 3):
        method = Reconcile(rounds=rounds, confidence="said", temperature=1.0)
        made = table_model.answered(method, problems, table, task=table_model.Quiz(own_words=True))
        share = sum(one.reward for one in made) / len(made)
        assert abs(share - (1 - 0.65**3)) < 0.1
        spent = {one.info["spent"]["completions"] for one in made}
        assert spent == ({6} if rounds == 0 else {6, 12}), "a debate ends when all agree"


def test_another_policy_is_an_agent(table_model: ModuleType) -> None:
    from dataclasses import replace

    engine = table_model.TableModel(table=lambda messages: {"#1": 1.0})
    engine.tables["start"] = lambda messages: {"#4": 1.0}
    others = lambda name: replace(policy, checkpoint=replace(policy.checkpoint, path=name))  # noqa: E731
    method = Reconcile(agents=1, policies=["start"], rounds=0)
    policy = table_model.policy_of(method, engine, others=others)
    [made] = policy.answer(table_model.Quiz().problems("train", 1, 0))
    assert {ask.checkpoint.path for ask in engine.asked} == {"weights", "start"} and made.text in ("#1", "#4")
    with pytest.raises(RecipeError, match="two agents"):
        Reconcile(agents=1)
