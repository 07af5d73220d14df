"""`reinforce_plus_plus`: the returns by hand, normalized over all tokens, and that it learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from selfimprove import training
from selfimprove.errors import RecipeError
from selfimprove.methods.optimization.dpo import Dpo
from selfimprove.methods.optimization.reinforce_plus_plus import ReinforcePlusPlus
from selfimprove.methods.sampler.online_band import OnlineBand
from selfimprove.records import Prompt, Rollout

SHORT: dict[str, Any] = {
    "learning_rate": 1e-2,
    "lr_scheduler_type": "constant",
    "per_device_train_batch_size": 16,
    "max_completion_length": 6,
}


def letters(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """A reward that anything can learn: the share of letters e."""
    return [replace(one, reward=one.text.count("e") / 6) for one in rollouts]


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, Any]]:
    """(values, mask, result) of each call of `whiten`."""
    seen: list[tuple[Any, Any, Any]] = []
    plain = training.whiten

    def spy(values: Any, mask: Any, buckets: Any = None) -> Any:
        made = plain(values, mask, buckets)
        seen.append((values, mask, made))
        return made

    monkeypatch.setattr(training, "whiten", spy)
    return seen


@pytest.mark.runs
@pytest.mark.parametrize(
    "options",
    [
        {"num_generations": 4, "baseline": "group"},
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"gradient_accumulation_steps": 2}, marks=pytest.mark.slow),
    ],
)
def test_the_reward_rises(setting: Callable, questions: list[Prompt], options: dict[str, Any]) -> None:
    given = setting(reward=letters)
    ReinforcePlusPlus(**SHORT, **options, max_steps=14).optimize(questions, given)
    found = given.log.metrics
    assert found["train/reward_last"] > found["train/reward_first"] + 0.1
    assert (found["train/steps"], found["train/unscored"]) == (14, 0)
    assert found["train/completions"] == 14 * 16 * options.get("gradient_accumulation_steps", 1)


@pytest.mark.long
def test_the_return_of_a_token_is_the_score_less_the_divergence_to_come(
    setting: Callable,
    questions: list[Prompt],
    couples: list,
    small: Any,
    spied: list,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = Dpo(learning_rate=1e-3, max_steps=3).optimize(couples, setting("moved"))
    drawn: list[training.Turn] = []
    plain = training.Live.draw

    def draw(self: Any, prompts: Sequence[Prompt]) -> list[training.Turn]:
        drawn.extend(plain(self, prompts))
        return drawn

    def marks(rollouts: Sequence[Rollout]) -> list[Rollout]:
        return [replace(one, reward=None if place == 2 else float(place)) for place, one in enumerate(rollouts)]

    given = setting("here", reward=marks)
    given = replace(given, policy=replace(given.policy, checkpoint=moved))
    method = ReinforcePlusPlus(**{**SHORT, "learning_rate": 0.0}, beta=0.5, reference="base", max_steps=1)
    monkeypatch.setattr(training.Live, "draw", draw)
    method.optimize(questions, given)
    ((values, mask, made),) = spied
    live = training.Live(training.job_of(method, given), 1, method)
    for row, turn in enumerate(drawn):
        if row == 2:
            assert not mask[row].any() and not made[row].any(), "no score, nothing learned"
            continue
        assert int(mask[row].sum()) == len(turn.ids)
        gaps = (live.logprobs([turn])[0] - live.logprobs([turn], live.beside(small))[0])[0].tolist()
        wanted = [row - 0.5 * sum(gaps[place:]) for place in range(len(gaps))]
        assert values[row, : len(gaps)].tolist() == pytest.approx(wanted, abs=1e-3)
    tokens = made[mask > 0]
    assert tokens.mean().item() == pytest.approx(0, abs=1e-5) and tokens.std().item() == pytest.approx(1, abs=1e-4)
    assert given.log.metrics["train/unscored"] == 1


def test_a_group_loses_its_mean(setting: Callable, questions: list[Prompt], spied: list) -> None:
    def marks(rollouts: Sequence[Rollout]) -> list[Rollout]:
        return [replace(one, reward=float(place)) for place, one in enumerate(rollouts)]

    options = {**SHORT, "learning_rate": 0.0}
    method = ReinforcePlusPlus(**options, beta=0.0, num_generations=4, baseline="group", max_steps=1)
    method.optimize(questions, setting(reward=marks))
    ((values, _, _),) = spied
    assert values[:, 0].tolist() == pytest.approx([-1.5, -0.5, 0.5, 1.5] * 4)


@pytest.mark.parametrize("options", [{"restart": "best"}, {"baseline": "batch"}, {"baseline": "group"}])
def test_what_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        ReinforcePlusPlus(**options)


def test_a_sampler_chooses_the_prompts_and_what_does_not_count_is_not_learned(
    setting: Callable, questions: list[Prompt]
) -> None:
    calls: list[list[Rollout]] = []

    def watched(rollouts: Sequence[Rollout]) -> list[Rollout]:
        calls.append(list(rollouts))
        return [replace(one, reward=float(i % 2) if len(calls) > 1 else 0.0) for i, one in enumerate(rollouts)]

    given = setting(reward=watched, sampler=OnlineBand(tries=1))
    ReinforcePlusPlus(**SHORT, num_generations=4, max_steps=2).optimize(questions, given)
    assert [len(call) for call in calls] == [16, 16, 16], "the first draw of the first step teaches nothing"
    keys = [call[i].prompt.key for call in calls for i in range(0, 16, 4)]
    assert sorted(keys) == sorted(one.key for one in questions)
    assert given.log.metrics["train/left_out_groups"] == 0 == given.log.metrics["train/unscored"]
    assert given.log.metrics["train/chosen"] == 12
