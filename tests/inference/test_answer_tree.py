"""A tree that is grown at answering time: its nodes, its pool, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.answer_tree import Growth, Tree
from selfimprove.inference.worth import Worth
from selfimprove.interfaces import Refinement, Session
from selfimprove.records import Message, Prompt, Rollout

SAYS = {"a b c #4": 0.5, "a b d #5": 0.3, "e #6": 0.2}
GIVEN = Given(length=10, attempt=Cost(completions=1, tokens=10))


def growth(**changes: Any) -> Growth:
    options = {"samples": 4, "separator": ";", "explore": 1.0, "temperature": 1.0, "worth": Worth("votes")}
    return Growth(**{**options, **changes})


@dataclass
class Growing(Refinement):
    growth: Growth
    iterations: int
    trees: list[Tree]

    def cost(self, given: Given) -> Cost:
        return self.growth.cost(given, self.iterations)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        self.trees.append(Tree(prompt, session, self.growth))
        await self.trees[-1].grow(self.iterations)
        assert session.best is not None
        return session.best


def said(messages: Sequence[Message]) -> Mapping[str, float]:
    return SAYS


def test_steps_of_two_tokens_are_drawn_first_and_their_simulations_go_on_from_them(table_model: ModuleType) -> None:
    method = Growing(growth(step_tokens=2, samples=16), 3, [])
    engine = table_model.TableModel(table=said)
    [made] = table_model.answered(method, 1, engine)
    [tree] = method.trees
    root = tree.root
    assert set(root.below) <= {"a ", "e "} and root.visits == sum(one.visits for one in root.below.values()) == 48
    assert {text for node in root.below.values() for text in node.below} <= {"b ", "#6"}, "the tokens after it"
    assert len(tree.pool) == 48 and {one.text for one, _ in tree.pool} <= set(SAYS), "simulations are whole"
    assert made.text in SAYS
    limits = {ask.sampling.max_completion_length for ask in engine.asked}
    assert limits == {2, None}
    assert made.info["spent"]["completions"] <= method.cost(Given(length=24, attempt=Cost(1, 24))).completions


def test_what_a_tree_takes() -> None:
    """Four completions from the root, which are attempts, and four from another leaf; votes take nothing."""
    assert growth().cost(GIVEN, 2) == Cost(completions=8, tokens=80)
    assert growth().leaf_cost(GIVEN) == Cost(completions=4, tokens=40)
    by_tokens = growth(step_tokens=3)
    assert by_tokens.cost(GIVEN, 2) == Cost(completions=4 + 4 + 8, tokens=40 + 12 + 80)
    assert by_tokens.leaf_cost(GIVEN) == Cost(completions=8, tokens=12 + 40)
    judged = growth(worth=Worth("judge", 2))
    assert judged.leaf_cost(GIVEN) == Cost(completions=4 + 8, tokens=120)


def test_nothing_would_end_a_step() -> None:
    growth(separator="", step_tokens=1).check("mcts")
    with pytest.raises(RecipeError, match=r"refinement.mcts needs a separator, or step_tokens above 0"):
        growth(separator="").check("mcts")
    with pytest.raises(RecipeError, match=r"refinement.mcts.value takes judge, votes, model, verifier"):
        growth(worth=Worth("me")).check("mcts")
