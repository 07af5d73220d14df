"""Verify, then revise: the model's own verdict decides what is done again, and both roles are scored by the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.acquisition.verify_then_revise import VerifyThenRevise

RIGHT, WRONG = "3+5=8;8+8=6#6", "3+5=9;9+8=7#7"
SAYS = {  # attempt -> verdict
    RIGHT: "#y",
    WRONG: "3+5=9:8n;9+8=7:7y#n",
    "3+5=8;8+8=6 #6": "#n",  # right, and called wrong
    "#5": "#y",  # wrong, and called right
    "#4": "well",  # no verdict
}


@pytest.fixture
def turn(make_context: Callable, make_rollout: Callable, make_engine: Callable) -> Callable[..., Any]:
    """`turn(options)`: five attempts at one problem, the verdicts of SAYS, and revisions where they are asked for."""

    def run(**options: Any) -> tuple[dict[str, list], Any, Any]:
        table = {f"J:3+5+8={attempt}|": {verdict: 1.0} for attempt, verdict in SAYS.items()}
        table |= {f"R:3+5+8={WRONG}|": {RIGHT: 1.0}, "R:3+5+8=3+5=8;8+8=6 #6|": {"#1": 1.0}}
        engine = make_engine(table)
        context = make_context(engine, round=2)
        given = [make_rollout(attempt) for attempt in SAYS]
        turns: dict[str, list] = {"S": [], "J": [], "R": []}
        for rollout in VerifyThenRevise(**options).acquire(given, context):
            turns[rollout.prompt.prompt[-1]["content"][0]].append(rollout)
        return turns, engine, context

    return run


def test_only_what_the_model_calls_wrong_is_revised(turn: Callable) -> None:
    turns, engine, _ = turn()
    asked = [p.prompt[-1]["content"] for p in engine.seen]
    assert [words for words in asked if words[0] == "R"] == [f"R:3+5+8={WRONG}|", "R:3+5+8=3+5=8;8+8=6 #6|"]
    assert [r.text for r in turns["R"]] == [RIGHT, "#1"]
    assert {p.answer for p in engine.seen} == {None}


def test_a_verdict_is_paid_for_being_true(turn: Callable) -> None:
    turns, _, context = turn()
    assert {r.prompt.prompt[-1]["content"]: r.reward for r in turns["J"]} == {
        f"J:3+5+8={attempt}|": score for attempt, score in zip(SAYS, [1.0, 1.0, 0.0, 0.0, 0.0], strict=True)
    }
    assert context.log.metrics["verify_then_revise/true_verdicts"] == pytest.approx(2 / 5)
    assert context.log.metrics["verify_then_revise/revised"] == pytest.approx(2 / 5)


@pytest.mark.parametrize(("bonus", "scores"), [(1.0, [2.0, -1.0]), (0.0, [1.0, 0.0]), (10.0, [11.0, -10.0])])
def test_a_revision_is_paid_for_its_gain(turn: Callable, bonus: float, scores: list[float]) -> None:
    """r2 + bonus * (r2 - r1) for wrong -> right and right -> wrong."""
    turns, _, context = turn(bonus=bonus)
    assert [r.reward for r in turns["R"]] == scores
    assert context.log.metrics["verify_then_revise/gain"] == 0.0  # one won, one lost


def test_each_turn_is_a_record_with_the_prompt_that_it_answers(turn: Callable) -> None:
    turns, _, context = turn()
    assert [len(turns[role]) for role in "SJR"] == [5, 5, 2]
    assert [r.reward for r in turns["S"]] == [1.0, 0.0, 1.0, 0.0, 0.0]
    for rollout in (*turns["J"], *turns["R"]):
        assert rollout.prompt.key == "3+5+8"
        assert rollout.parents[1] in {attempt.id for attempt in turns["S"]}
    assert {context.verify(r.prompt, r.text) for r in turns["J"]} == {None}  # a verdict is no answer to the problem
    assert [context.verify(r.prompt, r.text) for r in turns["R"]] == [1.0, 0.0]


@pytest.mark.parametrize("train", [["attempts"], ["verdicts"], ["verdicts", "revisions"]])
def test_which_turns_are_trained(turn: Callable, train: list[str]) -> None:
    turns, _, _ = turn(train=train)
    assert {name for name, found in turns.items() if found} == {
        {"attempts": "S", "verdicts": "J", "revisions": "R"}[name] for name in train
    }


@pytest.mark.parametrize("train", [[], ["everything"]])
def test_turns_that_there_are_not(train: list[str]) -> None:
    with pytest.raises(RecipeError, match="takes some of attempts, verdicts, revisions"):
        VerifyThenRevise(train=train)
