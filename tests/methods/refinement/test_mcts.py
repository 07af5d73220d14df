"""Visits go where values are high, and the numbers of a tree add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from selfimprove.inference.tree import Node
from selfimprove.methods.refinement.mcts import Mcts
from selfimprove.records import Message

SAYS = {"good;#4": 0.3, "bad;#1": 0.3, "bad;#2": 0.2, "bad;#3": 0.2}


def table(messages: Sequence[Message]) -> Mapping[str, float]:
    asked = messages[-1]["content"]
    if not asked.startswith("judge"):
        return SAYS
    return {"#yes": 1.0} if "good" in asked else {"#no": 1.0}


def grown(explore: float, simulations: int = 400) -> Node:
    """A root with a good child, always worth 1, and a bad one, always worth 0."""
    root = Node()
    for step, value in (("good", 1.0), ("bad", 0.0)):
        root.add(step, value, whole=False)
    for _ in range(simulations):
        chosen = root.leaf(explore)
        assert chosen is not None
        root.add(chosen.text, float(chosen.text == "good"), whole=False)
    return root


@pytest.mark.parametrize(("explore", "low", "high"), [(0.0, 1.0, 1.0), (1.0, 0.95, 1.0), (1e6, 0.49, 0.51)])
def test_the_share_of_visits_of_the_good_arm(explore: float, low: float, high: float) -> None:
    """Greedy without exploration, uniform with endless exploration, and nearly all to the good arm in between."""
    root = grown(explore)
    assert sum(child.visits for child in root.below.values()) == root.visits == 402
    assert low <= (root.below["good"].visits - 1) / 400 <= high


@pytest.mark.parametrize(("value", "text"), [("judge", "good;#4"), ("votes", None), ("model", None)])
def test_the_heaviest_answer_wins(table_model: ModuleType, value: str, text: str | None) -> None:
    method = Mcts(iterations=4, samples=8, separator=";", value=value, temperature=1.0)
    made = table_model.answered(method, 4, table)
    assert all(one.text in SAYS for one in made)
    if text:
        assert {one.text for one in made} == {text}


def test_a_verifier_values_if_the_checkpoint_has_one(table_model: ModuleType) -> None:
    """Its table likes what the model rarely says."""
    engine = table_model.TableModel(table=table, tables={"weights/verifier": {"q0": {"good;#4": 0.9, "bad;#1": 0.1}}})
    method = Mcts(iterations=2, samples=16, separator=";", value="verifier", temperature=1.0)
    [made] = table_model.answered(method, 1, engine, states=[{"verifier": "verifier"}])
    assert made.text == "good;#4"
    [plain] = table_model.answered(method, 1, table)  # weights of round 0 have none
    assert plain.text in SAYS
