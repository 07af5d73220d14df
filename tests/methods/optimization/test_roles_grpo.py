"""`roles_grpo`: advantages by hand, and draws that the weights in training make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfimprove import training
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import DataError
from selfimprove.interfaces import Policy, Sampling
from selfimprove.methods.optimization.roles_grpo import RolesGrpo
from selfimprove.records import Checkpoint, Prompt, Rollout

SHORT: dict[str, Any] = {
    "learning_rate": 1e-2,
    "lr_scheduler_type": "constant",
    "per_device_train_batch_size": 48,
    "max_completion_length": 6,
}


def letters(rollouts: list[Rollout]) -> list[Rollout]:
    """A reward that anything can learn: the number of letters e."""
    return [replace(one, reward=float(one.text.count("e"))) for one in rollouts]


def drawn(policy: Policy, prompts: list[Prompt]) -> list[Rollout]:
    return letters([one for group in policy.sample(prompts, 8, Sampling()) for one in group])


def test_advantages_within_each_prompt_by_hand(make_rollout: Callable, make_prompt: Callable) -> None:
    judge = replace(make_prompt("1+2"), info={"role": "judge"})
    some = [
        *(make_rollout("a", "3+5", reward=reward) for reward in (1.0, 0.0, 1.0, 0.0, None)),
        *(make_rollout("b", judge, reward=reward) for reward in (5.0, 3.0)),
        make_rollout("c", "1+2", reward=7.0),
    ]
    assert [one.weight for one in RolesGrpo(scale_rewards="none")._weighted(some)] == [*[0.5, -0.5] * 2, 1.0, -1.0, 0.0]
    scaled = [one.weight for one in RolesGrpo()._weighted(some)]
    assert scaled[:2] == pytest.approx([0.75**0.5, -(0.75**0.5)]) and scaled[4:] == pytest.approx(
        [0.5**0.5, -(0.5**0.5), 0.0]
    )
    assert [one.text for one in RolesGrpo(train=["judge"])._weighted(some)] == ["b", "b"]


@pytest.mark.long
def test_it_draws_again_by_the_weights_in_training_and_learns(setting: Callable, questions: list[Prompt]) -> None:
    seen = list[tuple[int, Policy, list[Rollout]]]()

    def acquire(policy: Policy, number: int) -> list[Rollout]:
        seen.append((number, policy, drawn(policy, questions)))
        return seen[-1][2]

    given = setting(acquire=acquire)
    records = [replace(one, ids=()) for one in drawn(given.policy, questions)]
    RolesGrpo(**SHORT, max_steps=14).optimize(records, given)
    assert [number for number, _, _ in seen] == [1, 2, 3, 4, 5, 6]  # two steps of 48 rows for each draw of 96
    assert len({policy.seed for _, policy, _ in seen}) == 6
    first, last = (sum(one.reward or 0.0 for one in rollouts) for rollouts in (seen[0][2], seen[-1][2]))
    assert last > 1.5 * first
    assert given.log.metrics["train/solve/reward_last"] > given.log.metrics["train/solve/reward_first"]


def test_other_weights_stay_with_the_run_s_engine(
    setting: Callable, questions: list[Prompt], given_engine: Any
) -> None:
    other = [[Rollout(prompt=questions[0], completion=[{"role": "assistant", "content": "other"}])]]
    given = setting()
    start = replace(given.policy.checkpoint, parts={"judge": "elsewhere"})
    policy = replace(given.policy, engine=given_engine(other), checkpoint=start)
    method = RolesGrpo(**SHORT, max_steps=2)
    live = training.Live(training.job_of(method, replace(given, policy=policy)), 1, method)
    acting = training.acting(live, policy, 1)
    assert acting.sample(questions[:1], 1, role="judge")[0][0].text == "other"
    [[own]] = acting.sample(questions[:1], 1)
    assert own.text != "other" and own.logprobs is not None and len(own.ids) <= 6
    assert acting.engine.draw([], given.log) == [] and acting.checkpoint != Checkpoint(path=given.start.path)


def test_without_rewards_there_is_nothing_to_learn(setting: Callable, questions: list[Prompt], say: Callable) -> None:
    with pytest.raises(DataError, match="optimization.roles_grpo has no completion with a reward to train on"):
        RolesGrpo(**SHORT, max_steps=1).optimize([say(questions[0], "8")], setting())


def test_a_draw_without_rewards_ends_the_training(setting: Callable, questions: list[Prompt], say: Callable) -> None:
    given = setting(acquire=lambda policy, number: [say(questions[0], "8")])
    RolesGrpo(**SHORT, max_steps=9).optimize([say(questions[0], text, reward=1.0) for text in "ab"], given)
    assert given.log.metrics["train/steps"] == 1
    assert given.log.notes == ["draw 2 has no completion with a reward, so training ends early"]


def test_each_draw_but_the_first_is_paid_for() -> None:
    given = Given(flow=Flow(960, 60, 16), again=Cost(completions=100, tokens=800))
    assert RolesGrpo(max_steps=5).cost(given) == Cost(completions=400, tokens=3200, steps=5)
    assert RolesGrpo(max_steps=4, num_iterations=2).cost(given) == Cost(completions=100, tokens=800, steps=4)
