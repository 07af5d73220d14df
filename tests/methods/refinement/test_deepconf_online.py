"""Unsure completions are dropped while they are drawn: never more tokens than offline, and the sure ones vote."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from selfimprove.methods.refinement.deepconf import Deepconf
from selfimprove.methods.refinement.deepconf_online import DeepconfOnline
from selfimprove.methods.refinement.self_consistency import SelfConsistency

SURE = "so one and two and three and four #4"
UNSURE = {f"or {a} or {b} or {c} or maybe #5": 0.6 / 27 for a in "xyz" for b in "xyz" for c in "xyz"}
TABLE = {SURE: 0.4, **UNSURE}
"""All completions have 19 tokens, END among them; each blank is one."""
WIDE: dict[str, Any] = {"samples": 12, "temperature": 1.0, "window": 4, "keep": 20}


def spent(made: list[Any]) -> list[int]:
    return [one.info["spent"]["tokens"] for one in made]


def test_never_more_tokens_than_offline(table_model: ModuleType) -> None:
    whole = table_model.answered(Deepconf(**WIDE), 30, lambda messages: TABLE)
    assert set(spent(whole)) == {12 * 19}, "all of one length, so that tokens can be compared problem by problem"
    online = table_model.answered(DeepconfOnline(**WIDE, warm_up=5, piece=3, consensus=2), 30, lambda messages: TABLE)
    assert all(few <= all_ for few, all_ in zip(spent(online), spent(whole), strict=True))
    assert sum(spent(online)) < 0.85 * sum(spent(whole))
    plain = table_model.answered(SelfConsistency(samples=12, temperature=1.0), 30, lambda messages: TABLE)
    right = [sum(one.text == SURE for one in made) for made in (plain, online)]
    assert right[0] < 15 and right[1] > 24


def test_nothing_is_dropped_without_a_whole_window(table_model: ModuleType) -> None:
    wide = WIDE | {"window": 99}
    for piece in (1, 5, 99):
        made = table_model.answered(DeepconfOnline(**wide, piece=piece, consensus=2), 5, lambda messages: TABLE)
        assert set(spent(made)) == {12 * 19}
    [long] = {
        one.text for one in table_model.answered(DeepconfOnline(**wide, piece=4), 3, lambda messages: {SURE: 1.0})
    }
    assert long == SURE, "pieces are joined to what one draw would give"


def test_it_stops_when_the_sure_agree(table_model: ModuleType) -> None:
    made = table_model.answered(DeepconfOnline(), 5, lambda messages: {SURE: 1.0})
    assert [one.info["spent"]["completions"] for one in made] == [4] * 5
    made = table_model.answered(DeepconfOnline(piece=99, consensus=2), 5, lambda messages: {SURE: 1.0})
    assert [one.info["spent"]["completions"] for one in made] == [16] * 5


@pytest.mark.parametrize("budget", [20, 75, 100])
def test_a_budget_that_ends_in_a_piece_leaves_a_whole_answer(table_model: ModuleType, budget: int) -> None:
    limit = table_model.answered.__globals__["Budget"](tokens=budget)
    method = DeepconfOnline(**WIDE, piece=3, consensus=2, warm_up=1)
    made = table_model.answered(method, 10, lambda messages: TABLE, budget=limit)
    assert all(one.info["spent"]["tokens"] <= budget and one.text in TABLE for one in made)
