"""`score`: credits by hand, the two stages, and a first attempt that stays where it was while the second learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.methods.optimization.score import Score
from selfimprove.recipe import compose
from selfimprove.records import Prompt, Rollout

SHORT: dict[str, Any] = {
    "learning_rate": 1e-2,
    "lr_scheduler_type": "constant",
    "per_device_train_batch_size": 16,
    "max_completion_length": 6,
}


def letters(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """A reward that anything can learn: the number of letters e."""
    return [replace(one, reward=float(one.text.count("e"))) for one in rollouts]


@pytest.mark.parametrize(("r1", "r2", "both"), [(0.0, 0.0, 0.0), (0.0, 1.0, 11.0), (1.0, 0.0, -9.0), (1.0, 1.0, 2.0)])
def test_the_second_stage_adds_the_bonus_to_the_second_attempt(r1: float, r2: float, both: float) -> None:
    assert Score().credit(r1, r2, early=False) == (r1, both - r1)
    assert Score(discount=1.0).credit(r1, r2, early=False) == (both, both - r1)
    assert Score().credit(r1, r2, early=True) == (r2, r2)


@pytest.mark.parametrize(("kept", "gained"), [(0.9, 0.3), (0.9, 0.1), (0.5, 0.5), (1.0, 0.0)])
def test_a_right_first_answer_is_worth_more_than_a_wrong_one(kept: float, gained: float) -> None:
    """`kept`: how often a right answer stays right; `gained`: how often a wrong one becomes right."""

    def expected(method: Score, r1: float, right: float) -> float:
        good, bad = (method.credit(r1, r2, early=False)[0] or 0.0 for r2 in (1.0, 0.0))
        return right * good + (1 - right) * bad

    def lead(method: Score) -> float:
        return expected(method, 1.0, kept) - expected(method, 0.0, gained)

    assert lead(Score()) == pytest.approx(1.0)
    old, alpha = Score(discount=1.0), Score().alpha
    assert lead(old) == pytest.approx(1 - alpha + (1 + alpha) * (kept - gained))
    assert (lead(old) < 0) == (kept - gained < 9 / 11)


def test_the_recipe_s_exam_asks_for_the_attempt_that_is_trained() -> None:
    recipe = compose.load("score", [])[0]
    assert [*recipe.refinement] == ["revise"] and recipe.optimization["score"].discount == 0.0


def test_an_attempt_without_a_reward_is_left_out() -> None:
    assert Score().credit(None, 1.0, early=True) == Score().credit(1.0, None, early=False) == (None, None)


@pytest.mark.slow
def test_in_the_first_stage_the_second_attempt_learns_and_the_first_is_held(
    setting: Callable, questions: list[Prompt]
) -> None:
    """The small model cannot tell the two prompts well apart, so the first attempt follows where nothing holds it."""
    kls = []
    for beta in (0.0, 0.3):
        given = setting(str(beta), reward=letters)
        Score(**SHORT, first_stage=1.0, beta_first=beta, max_steps=22).optimize(questions, given)
        found = given.log.metrics
        assert found["train/second/reward_last"] > found["train/second/reward_first"] + 1
        assert found["train/completions"] == 22 * 16 * 2
        kls.append(found["train/first/kl"])
    assert kls[1] < 0.7 * kls[0]


@pytest.mark.long
def test_the_stages_come_in_order_and_the_reward_knows_the_problem(
    setting: Callable, questions: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[bool] = []
    asked: list[Prompt] = []
    plain = Score.credit

    def spy(self: Score, r1: float | None, r2: float | None, early: bool) -> tuple[float | None, float | None]:
        stages.append(early)
        return plain(self, r1, r2, early)

    def marks(rollouts: Sequence[Rollout]) -> list[Rollout]:
        asked.extend(rollout.prompt for rollout in rollouts)
        return [replace(one, reward=float(place % 2)) for place, one in enumerate(rollouts)]

    monkeypatch.setattr(Score, "credit", spy)
    Score(**SHORT, first_stage=0.25, max_steps=4).optimize(questions, setting(reward=marks))
    assert stages == [True] * 16 + [False] * 48
    assert len(asked) == 128 and all(prompt in questions for prompt in asked)
