"""Weights for a moment: what a copy has learned, that it repeats, and that nothing of it is left."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove import training
from selfimprove.costs import Cost, counted
from selfimprove.errors import RecipeError
from selfimprove.interfaces import GREEDY, Policy
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.records import Checkpoint, Rollout
from selfimprove.training import copies

PLAN = training.Schedule(learning_rate=1e-2, max_steps=4, per_device_train_batch_size=3, lr_scheduler_type="constant")


def content(folder: str | Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in Path(folder).rglob("*")
        if file.is_file()
    }


@pytest.fixture
def policy(start: Checkpoint, make_policy: Callable[..., Policy], quiet_log: Any, tmp_path: Path) -> Policy:
    """The small Llama in the transformers engine, with copies in a folder of the test."""
    made = training.Copies(tmp_path / "step" / ".copies", quiet_log)
    engine = Transformers(device="cpu", max_completion_length=8)
    return make_policy(engine, checkpoint=start, copies=made, log=quiet_log)


def likelihood(policy: Policy, rows: list[Rollout]) -> float:
    return sum(sum(row) for row in policy.logprobs_of(rows))


@pytest.mark.long
def test_a_copy_is_better_on_its_rows_and_gone_afterwards(
    policy: Policy, rollouts: list[Rollout], start: Checkpoint, tmp_path: Path, quiet_log: Any
) -> None:
    weights, before = content(start.path), likelihood(policy, rollouts)
    plain = [group[0].text for group in policy.sample([row.prompt for row in rollouts], 1, GREEDY)]
    with policy.adapted(rollouts, PLAN) as copy:
        assert likelihood(copy, rollouts) > before + 15
        assert (copy.chain, copy.engine) == (policy.chain, policy.engine)
        assert Path(copy.checkpoint.path).is_dir()
        said = [group[0].text for group in copy.sample([row.prompt for row in rollouts], 1, GREEDY)]
    assert said != plain
    assert likelihood(policy, rollouts) == before, "the engine is back at the weights that it had"
    assert [group[0].text for group in policy.sample([row.prompt for row in rollouts], 1, GREEDY)] == plain
    assert content(start.path) == weights
    assert not (tmp_path / "step" / ".copies").exists() and not Path(copy.checkpoint.path).exists()
    assert not [name for name in quiet_log.metrics if name.startswith("train/")], "its numbers are not the step's"


def test_the_same_rows_make_the_same_copy_and_others_another(policy: Policy, rollouts: list[Rollout]) -> None:
    import random

    import torch

    made = []
    for rows, plan in ((rollouts, PLAN), (rollouts, PLAN), (rollouts[:2], PLAN), (rollouts, replace(PLAN, seed=1))):
        random.seed(len(made)), torch.manual_seed(len(made))
        state = torch.get_rng_state()
        with policy.adapted(rows, replace(plan, max_steps=2, per_device_train_batch_size=1)) as copy:
            made.append((Path(copy.checkpoint.path).name, content(copy.checkpoint.path)["model.safetensors"]))
        assert torch.equal(torch.get_rng_state(), state), "what is drawn after it is as without it"
    assert made[0] == made[1]
    assert len(set(made)) == 3 and len({name for name, _ in made}) == 3


@pytest.mark.long
def test_a_policy_gradient_moves_towards_what_had_an_advantage_and_away_from_what_had_less(
    policy: Policy, rollouts: list[Rollout], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = training.PolicyGradient(
        learning_rate=3e-3, max_steps=4, per_device_train_batch_size=3, lr_scheduler_type="constant"
    )
    graded = [replace(row, reward=gain) for row, gain in zip(rollouts, (1.0, -1.0, 0.0), strict=True)]
    before, names = policy.logprobs_of(rollouts), []
    with policy.adapted(graded, plan) as copy:
        good, bad, _ = (sum(now) - sum(old) for now, old in zip(copy.logprobs_of(rollouts), before, strict=True))
        assert good > 1 and bad < -1
        names.append(Path(copy.checkpoint.path).name)
    with policy.adapted([replace(row, reward=-(row.reward or 0.0)) for row in graded], plan) as copy:
        names.append(Path(copy.checkpoint.path).name)
        good, bad, _ = (sum(now) - sum(old) for now, old in zip(copy.logprobs_of(rollouts), before, strict=True))
        assert good < -1 and bad > 1
    assert names[0] != names[1], "other advantages make another copy"
    with policy.adapted([replace(row, reward=0.0) for row in graded], replace(plan, max_steps=1)) as copy:
        assert copy.logprobs_of(rollouts) == before
    monkeypatch.setattr(copies, "LARGE", 1000)
    with pytest.raises(RecipeError, match="policy gradients train all weights"), policy.adapted(graded, plan):
        pass


def test_answers_and_notes_have_no_part_in_it(policy: Policy, rollouts: list[Rollout]) -> None:
    seen, names = list[Rollout](), []
    assert isinstance(policy.copies, training.Copies)
    policy.copies.saw, policy.copies.waits = seen.extend, True
    marked = [replace(row, prompt=replace(row.prompt, answer="8", info={"note": "8"})) for row in rollouts]
    for rows in (rollouts, marked):
        with policy.adapted(rows, PLAN) as copy:
            names.append(copy.checkpoint.path)
    assert names[0] == names[1]
    assert len(seen) == 6 and all(row.prompt.answer is None and not row.prompt.info for row in seen)


def test_a_copy_that_waits_is_trained_only_when_it_is_needed(policy: Policy, rollouts: list[Rollout]) -> None:
    assert isinstance(policy.copies, training.Copies)
    policy.copies.waits = True
    with counted() as meter, policy.adapted(rollouts, replace(PLAN, max_steps=-1, num_train_epochs=2.0)) as copy:
        path = Path(copy.checkpoint.path)
        assert not path.exists()
        policy.copies.needed("another place")
        policy.copies.needed(str(path))
        assert path.is_dir()
        stamp = (path / "model.safetensors").stat().st_mtime_ns
        policy.copies.needed(str(path))
        assert (path / "model.safetensors").stat().st_mtime_ns == stamp, "once"
    assert meter.cost == Cost(copies=1, steps=2), "what it takes counts alike, trained here or before a stop"


def test_copies_inside_of_copies_are_limited_and_nothing_is_left(policy: Policy, rollouts: list[Rollout]) -> None:
    assert isinstance(policy.copies, training.Copies)
    policy.copies.waits = True

    def nest(depth: int, inner: Policy) -> None:
        if depth:
            with inner.adapted(rollouts, replace(PLAN, seed=depth)) as deeper:
                nest(depth - 1, deeper)

    nest(copies.ALIVE, policy)
    with pytest.raises(RecipeError, match=r"4 adapted copies of the weights exist already; close one"):
        nest(copies.ALIVE + 1, policy)
    nest(copies.ALIVE, policy)


def test_a_copy_of_a_copy_goes_on_from_it(policy: Policy, rollouts: list[Rollout]) -> None:
    with policy.adapted(rollouts[:1], PLAN) as one, one.adapted(rollouts[1:2], PLAN) as both:
        assert likelihood(both, rollouts[:2]) > likelihood(policy, rollouts[:2]) + 5
        assert likelihood(one, rollouts[:1]) > likelihood(policy, rollouts[:1]) + 3
        outer = Path(one.checkpoint.path)
    assert not outer.exists()


def test_a_mistake_inside_leaves_nothing(policy: Policy, rollouts: list[Rollout], tmp_path: Path) -> None:
    with pytest.raises(KeyError), policy.adapted(rollouts, replace(PLAN, max_steps=1)):
        raise KeyError
    assert not (tmp_path / "step" / ".copies").exists()


def test_large_weights_get_an_adapter_and_small_ones_where_the_schedule_says_so(
    policy: Policy, rollouts: list[Rollout], start: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert copies._plan(start, rollouts, PLAN).lora.r == 0
    own = replace(PLAN, lora=training.Lora(r=2, alpha=4))
    monkeypatch.setattr(copies, "LARGE", 1000)
    assert copies._plan(start, rollouts, PLAN).lora.r == copies.RANK
    assert copies._plan(start, rollouts, own).lora == own.lora
    before, mean = likelihood(policy, rollouts), content(start.path)
    with policy.adapted(rollouts, PLAN) as copy:
        assert likelihood(copy, rollouts) > before + 3
        assert (Path(copy.checkpoint.path) / "model.safetensors").is_file(), "merged: any engine runs it"
    assert content(start.path) == mean


def test_what_cannot_be_adapted(
    policy: Policy, rollouts: list[Rollout], make_policy: Callable[..., Policy], monkeypatch: pytest.MonkeyPatch
) -> None:
    for lacking in (make_policy(), make_policy(Fake(), copies=policy.copies)):
        with pytest.raises(RecipeError, match="runs no copies of the weights"), lacking.adapted(rollouts, PLAN):
            pass
    with pytest.raises(RecipeError, match="no rows to adapt"), policy.adapted([], PLAN):
        pass
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="in one process; set launcher=inline"), policy.adapted(rollouts, PLAN):
        pass
