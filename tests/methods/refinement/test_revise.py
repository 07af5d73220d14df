"""The second attempt is the answer, whether it is better or worse than the first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.interfaces import GREEDY
from selfimprove.methods.refinement.revise import Revise


@pytest.mark.parametrize(("turns", "text"), [(1, "#4"), (2, "#3")])
def test_the_last_attempt_answers(
    make_engine: Callable, make_policy: Callable, make_prompt: Callable, turns: int, text: str
) -> None:
    engine = make_engine({"S:1+2=": {"#5": 1.0}, "R:1+2=#5|": {"#4": 1.0}, "R:1+2=#4|": {"#3": 1.0}}, "lost")
    [made] = make_policy(engine, Revise(turns=turns)).answer([make_prompt("1+2")])
    assert (made.text, made.reward) == (text, float(text == "#3"))
    assert made.prompt == make_prompt("1+2")
    assert made.info["spent"]["completions"] == 1 + turns
    assert {sampling for _, sampling, _ in engine.calls} == {GREEDY}


@pytest.mark.parametrize(("said", "text", "spent"), [("#n", "#3", 3), ("hm", "#3", 3), ("#y", "#5", 2)])
def test_a_critique_is_shown_after_an_attempt_that_it_does_not_call_right(
    make_engine: Callable, make_policy: Callable, make_prompt: Callable, said: str, text: str, spent: int
) -> None:
    engine = make_engine({"S:1+2=": {"#5": 1.0}, "J:1+2=#5|": {said: 1.0}, f"R:1+2=#5\n{said}|": {"#3": 1.0}}, "lost")
    [made] = make_policy(engine, Revise(critique=True)).answer([make_prompt("1+2")])
    assert (made.text, made.info["spent"]["completions"]) == (text, spent)
