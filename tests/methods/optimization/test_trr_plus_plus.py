"""`trr_plus_plus`: what counts is the lead within a bucket, not the level of the bucket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.optimization.trr_plus_plus import TrrPlusPlus
from selfimprove.records import Prompt, Rollout
from selfimprove.training.native import policy_gradient

QUICK: dict[str, Any] = {
    "learning_rate": 3e-3,
    "lr_scheduler_type": "constant",
    "per_device_train_batch_size": 8,
    "max_steps": 8,
}


@pytest.fixture
def kinds(questions: list[Prompt], say: Callable) -> list[Rollout]:
    """Solutions with scores near 0 and proposals with scores near 10: of each a better and a worse one, twice."""
    made = []
    for prompt, (role, level) in zip(questions, [("solve", 0.0), ("propose", 10.0)] * 2, strict=False):
        asked = replace(prompt, info={"role": role, "form": "D"})
        made += [say(asked, "Answer: 8.", reward=level + 1), say(asked, "the quick", reward=level)]
    return made


@pytest.fixture
def scores(small: Any) -> Callable[[list[Rollout]], list[float]]:
    """The log-probability of each rollout under the small model."""
    return lambda rollouts: [sum(row) for row in Transformers().logprobs_of(small, rollouts)]


def changes(rollouts: list[Rollout], small: Any, trained: Any) -> list[float]:
    engine = Transformers()
    before, after = engine.logprobs_of(small, rollouts), engine.logprobs_of(trained, rollouts)
    return [sum(new) - sum(old) for new, old in zip(after, before, strict=True)]


def test_in_each_bucket_the_better_rises_and_the_worse_falls(kinds: list, setting: Callable, small: Any) -> None:
    found = changes(kinds, small, TrrPlusPlus(**QUICK).optimize(kinds, setting()))
    assert all(change > 0.2 for change in found[0::2]) and all(change < -0.2 for change in found[1::2])


def test_with_one_bucket_the_level_decides(kinds: list, setting: Callable, small: Any) -> None:
    """Both proposals are above the mean of all and both solutions below: the worse proposal is not pushed down."""
    held = [replace(one, prompt=replace(one.prompt, info={})) for one in kinds]
    found = changes(held, small, TrrPlusPlus(**QUICK).optimize(held, setting()))
    levels = [found[place] + found[place + 1] for place in range(0, 8, 2)]
    assert levels[1] > levels[0] and levels[3] > levels[2]
    split = changes(kinds, small, TrrPlusPlus(**QUICK).optimize(kinds, setting("split")))
    assert found[3] > split[3] + 0.2 and found[7] > split[7] + 0.2


def test_the_ratio_is_to_the_weights_that_drew(
    kinds: list, setting: Callable, scores: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In later passes the weights have moved, and the log-probabilities that they are compared with have not."""
    seen: list[tuple[Any, Any]] = []
    plain = policy_gradient.clipped

    def spy(now: Any, old: Any, *rest: Any) -> Any:
        seen.append((now.detach(), old))
        return plain(now, old, *rest)

    monkeypatch.setattr(policy_gradient, "clipped", spy)
    TrrPlusPlus(**{**QUICK, "max_steps": 3}).optimize(kinds, setting())
    wanted = sorted(scores(kinds))
    for _, old in seen:
        assert sorted(old.sum(-1).tolist()) == pytest.approx(wanted, abs=1e-3)
    assert [bool((now - old).abs().max() > 0.05) for now, old in seen] == [False, True, True]


def test_rollouts_without_a_score_are_not_learned_from(kinds: list, setting: Callable, small: Any) -> None:
    given = setting()
    TrrPlusPlus(**QUICK, by=["role"]).optimize([replace(one, reward=None) for one in kinds], given)
    assert given.log.metrics["train/unscored"] == given.log.metrics["train/completions"] == 64
    assert (given.folder / "model/model.safetensors").read_bytes() == (
        type(given.folder)(small.path) / "model.safetensors"
    ).read_bytes()


def test_fresh_solutions_are_drawn_by_the_weights_in_training_and_proposals_are_kept(
    questions: list, say: Callable, setting: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step is on the policy for solutions: ratios of 1, other texts than the round's, a mark from the reward."""
    solved = [say(replace(one, info={"role": "solve"}), "stale", reward=1.0) for one in questions[:3]]
    [proposed] = [say(replace(one, info={"role": "propose"}), "a sum", reward=0.5) for one in questions[3:4]]
    talk = replace(
        solved[0], completion=[*solved[0].completion, {"role": "user", "content": "?"}, *solved[0].completion]
    )
    asked, ratios = list[str](), list[Any]()

    def reward(rollouts: Any) -> Any:
        asked.extend(one.text for one in rollouts)
        return [replace(one, reward=float(len(one.text) % 2)) for one in rollouts]

    plain = policy_gradient.clipped
    monkeypatch.setattr(
        policy_gradient, "clipped", lambda now, old, *rest: ratios.append((now - old).exp()) or plain(now, old, *rest)
    )
    given = setting(reward=reward)
    plan = {**QUICK, "max_steps": 3, "per_device_train_batch_size": 5, "max_completion_length": 4}
    TrrPlusPlus(**plan, fresh=True).optimize([*solved, proposed, talk], given)
    assert len(asked) == 3 * 3 and "stale" not in asked
    for step, found in enumerate(ratios):  # the drawn ones come first; the kept ones follow the round's weights
        assert found[:3].detach().numpy() == pytest.approx(1.0, abs=1e-4)
        assert step == 0 or (found[3:].detach() - 1).abs().max() > 1e-3


def test_what_fresh_draws_cost_is_counted() -> None:
    from selfimprove.costs import Flow, Given

    given = Given(context=512, length=64, problems=lambda n: n or 0, selection=0, rounds=3, flow=Flow(100, 10, 10))
    plain, fresh = (TrrPlusPlus(fresh=one, max_completion_length=8).cost(given) for one in (False, True))
    assert plain.completions == 0 and fresh.steps == plain.steps == 13
    assert fresh.completions == 13 * 8 and fresh.tokens == 13 * 8 * 8
