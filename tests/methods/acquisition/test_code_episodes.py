"""Turns with the outcomes of public tests, and rewards by private ones: what is told, what it is worth, who is fooled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import EngineError, RecipeError
from selfimprove.interfaces import Context
from selfimprove.methods.acquisition.code_episodes import CodeEpisodes
from selfimprove.problems.code_rows import reference
from selfimprove.records import Prompt
from selfimprove.safety.sandbox.grading import Checks
from selfimprove.safety.sandbox.open import shared

CHECKS = Checks(function="f", calls=(([2], 5), ([0], 1), ([3], 987654)), tolerance=None)
PROBLEM = Prompt(prompt=[{"role": "user", "content": "Write f."}], answer=reference(None, CHECKS), key="f")


def program(body: str) -> str:
    return f"```python\ndef f(x):\n    return {body}\n```"


RIGHT = program("x * x + 1 if x < 3 else 987654")
WRONG = program("x * x")
HARD_CODED = program("5")
TOLD = (
    "The program fails 1 of 1 tests.\nf(2) must give 5: 4\nCorrect it: write the whole program in one ```python block."
)
NONE = "There is no program in that. Write the whole program in one ```python block."


@pytest.fixture(scope="module", autouse=True)
def _sandbox() -> None:
    try:
        shared()
    except EngineError as error:
        pytest.skip(str(error))


@pytest.fixture
def play(make_context: Callable, make_engine: Callable) -> Callable[..., tuple[list, Context]]:
    """`play({last message: {reply: probability}}, turns=3)`: the records of one problem, and the context."""

    def run(table: dict[str, dict[str, float]], *problems: Prompt, **options: Any) -> tuple[list, Context]:
        context = make_context(make_engine(table, "```text\nno program\n```"))
        method = CodeEpisodes(**{"samples": 1, **options})
        return list(method.acquire(problems or [PROBLEM], context)), context

    return run


def test_a_program_that_passes_at_once_is_one_turn(play: Callable) -> None:
    [turn], context = play({"Write f.": {RIGHT: 1.0}})
    assert (turn.reward, turn.prompt, turn.parents) == (1.0, PROBLEM, (PROBLEM.id,))
    assert context.log.metrics["code_episodes/solved"] == context.log.metrics["code_episodes/turns"] == 1.0


def test_feedback_leads_to_a_better_program(play: Callable) -> None:
    (first, second), _ = play({"Write f.": {WRONG: 1.0}, TOLD: {RIGHT: 1.0}})
    assert (first.reward, second.reward) == (1.0, 1.0)
    assert [m["role"] for m in second.prompt.prompt] == ["user", "assistant", "user"]
    assert second.prompt.prompt[1]["content"] == WRONG and second.prompt.prompt[2]["content"] == TOLD
    assert second.prompt.key == PROBLEM.key and second.prompt.parents == (PROBLEM.id,)


def test_a_turn_without_a_program_costs_and_only_turns_up_to_it_pay(play: Callable) -> None:
    (first, second, third), _ = play({"Write f.": {WRONG: 1.0}, NONE: {RIGHT: 1.0}})
    assert third.prompt.prompt[-1]["content"] == NONE
    assert [turn.reward for turn in (first, second, third)] == [pytest.approx(0.8), pytest.approx(0.8), 1.0]


def test_the_public_outputs_written_into_a_program_are_worth_nothing(play: Callable) -> None:
    [turn], context = play({"Write f.": {HARD_CODED: 1.0}})
    assert turn.reward == -1.0
    assert context.log.metrics["code_episodes/public_only"] == 1.0 and context.log.metrics["code_episodes/solved"] == 0


def test_episodes_end_after_the_last_turn_and_fail(play: Callable) -> None:
    made, context = play({"Write f.": {WRONG: 1.0}, TOLD: {WRONG: 1.0}}, turns=2, samples=3)
    assert [turn.reward for turn in made] == [-1.0] * 6 and [turn.info["turn"] for turn in made] == [1, 2] * 3
    assert context.log.metrics["code_episodes/turns"] == 2.0


def test_no_private_test_reaches_the_model(play: Callable) -> None:
    _, context = play({"Write f.": {WRONG: 0.5, "def f(": 0.5}, TOLD: {WRONG: 1.0}}, samples=8)
    shown = repr([prompt.prompt for prompt in context.policy.engine.seen])
    assert "987654" not in shown and "f(0)" not in shown and "f(2) must give 5" in shown
    assert "error:SyntaxError" in shown
    assert all(prompt.answer is None for prompt in context.policy.engine.seen)


def test_two_public_tests_are_told(play: Callable) -> None:
    made, _ = play({"Write f.": {WRONG: 1.0}}, turns=2, public=2)
    assert "fails 2 of 2 tests.\nf(2) must give 5: 4\nf(0) must give 1: 0\n" in made[1].prompt.prompt[-1]["content"]


def test_the_same_context_gives_the_same_episodes(play: Callable) -> None:
    table = {"Write f.": {WRONG: 0.5, RIGHT: 0.5}, TOLD: {RIGHT: 0.3, WRONG: 0.7}}
    (one, _), (other, _) = play(table, samples=6), play(table, samples=6)
    assert one == other and len({turn.reward for turn in one}) == 2


def test_problems_without_private_tests_are_left_out_or_refused(play: Callable) -> None:
    short = Prompt(prompt=PROBLEM.prompt, answer=reference(None, CHECKS.part(0, 1)), key="short")
    made, context = play({"Write f.": {RIGHT: 1.0}}, PROBLEM, short)
    assert len(made) == 1 and context.log.metrics["code_episodes/left_out"] == 1
    with pytest.raises(RecipeError, match="task=code"):
        play({}, short)
