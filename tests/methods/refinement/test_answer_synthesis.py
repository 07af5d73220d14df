"""A synthesizer puts right steps together where every sample is wrong; where it has no answer, the samples vote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from selfimprove.methods.refinement.answer_synthesis import AnswerSynthesis
from selfimprove.methods.refinement.self_consistency import SelfConsistency

HALVES = {"a is 1, b is 9 #10": 0.5, "a is 7, b is 3 #11": 0.5}
"""Each sample has one half right: a is 1 and b is 3, so the answer is 4."""


def knowing(messages: Sequence[Any]) -> dict[str, float]:
    """Takes the right half of each answer that it sees, and guesses what it has not seen."""
    asked = messages[-1]["content"]
    if "step by step" not in asked:
        return HALVES
    a, b = ("1" if "a is 1" in asked else "7"), ("3" if "b is 3" in asked else "9")
    return {f"a is {a}, b is {b} #{int(a) + int(b)}": 1.0}


def test_all_samples_are_wrong_and_the_synthesis_is_right(table_model: ModuleType) -> None:
    made = table_model.answered(AnswerSynthesis(samples=5, temperature=1.0), 40, knowing)
    votes = table_model.answered(SelfConsistency(samples=5), 40, knowing)
    assert sum(one.reward for one in votes) == 0
    share = 1 - 2 * 0.5**5  # both halves are among the five
    assert abs(sum(one.reward for one in made) / 40 - share) < 3 * (share * (1 - share) / 40) ** 0.5
    assert all(one.info["spent"]["completions"] == 8 for one in made)


def test_each_synthesis_has_an_order_of_its_own_and_they_vote(table_model: ModuleType) -> None:
    """One that repeats the first answer shown: its votes are those of three random samples."""

    def table(messages: Sequence[Any]) -> dict[str, float]:
        seen = re.findall(r"Answer \d+:\n(.+)", messages[-1]["content"])
        return {seen[0]: 1.0} if seen else {f"#{n}": 0.2 for n in range(5)}

    engine = table_model.TableModel(table=table)
    table_model.answered(AnswerSynthesis(), 10, engine)
    orders = [ask.prompt.prompt[-1]["content"] for ask in engine.asked if ask.prompt.prompt[-1]["content"][0] == "S"]
    assert len(orders) == 30 > len(set(orders)) - 1 and len(set(orders)) > 20


def test_a_synthesizer_without_an_answer_leaves_the_vote(table_model: ModuleType) -> None:
    def table(messages: Sequence[Any]) -> dict[str, float]:
        return {"who knows": 1.0} if "step by step" in messages[-1]["content"] else {"#4": 0.7, "#5": 0.3}

    made = table_model.answered(AnswerSynthesis(samples=5), 15, table)
    votes = table_model.answered(SelfConsistency(samples=5), 15, table)
    assert [one.text for one in made] == [one.text for one in votes]
