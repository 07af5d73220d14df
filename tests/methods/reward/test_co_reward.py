"""Labels from another view: what the completions say of themselves moves nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from selfimprove import training
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Log, Sampling
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.reward.co_reward import CoReward
from selfimprove.records import Checkpoint, Prompt, Rollout


@dataclass
class Voters(Fake):
    """Votes are prepared, in order, for every prompt but those in `mute`."""

    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    by: list[str] = field(default_factory=list)

    def sample(
        self, checkpoint: Checkpoint, prompts: Sequence[Prompt], n: int, sampling: Sampling, seed: int, log: Log
    ) -> list[list[Rollout]]:
        self.by.append(checkpoint.path)
        self.asked += [prompt.prompt[-1]["content"] for prompt in prompts]
        return [
            [Rollout(prompt=p, completion=[{"role": "assistant", "content": text}]) for text in self.said[:n]]
            for p in prompts
        ]


@pytest.mark.parametrize(
    ("said", "options", "scores"),
    [
        (["#1", "#1", "#2", "lost"], {}, [1.0, 1.0, 0.0, 0.0]),
        (["#2", "#1", "#2", "lost"], {}, [0.0, 0.0, 1.0, 0.0]),  # although the completions themselves say 1 mostly
        (["#1", "#2", "lost", "lost"], {}, [None] * 4),
        (["#1", "#1", "#2", "lost"], {"min_agreement": 0.51}, [None] * 4),
    ],
)
def test_by_hand(make_context: Callable, make_rollout: Callable, said: list, options: dict, scores: list) -> None:
    engine = Voters(said=said)
    group = [make_rollout("1+0=1#1"), make_rollout("#1"), make_rollout("#2"), make_rollout("lost")]
    assert CoReward(votes=4, **options).rate([group, []], make_context(engine)) == [scores, []]
    [view] = engine.asked
    assert view != "S:3+5+8=" and sorted(view[2:-1].split("+")) == ["3", "5", "8"]


def test_several_wordings_vote_together_and_a_problem_without_one_has_no_label(
    make_context: Callable, make_rollout: Callable, make_prompt: Callable
) -> None:
    engine = Voters(said=["#1", "#2"])
    words = {"3+5+8": ["5+3+8", "8+5+3"], "1+1": []}
    context = make_context(engine, variants=lambda p, n: [make_prompt(key) for key in words[p.key]][:n])
    groups = [[make_rollout("#1")], [make_rollout("#2", "1+1")]]
    assert CoReward(votes=1, wordings=2).rate(groups, context) == [[1.0], [None]]
    assert engine.asked == ["S:5+3+8=", "S:8+5+3="] and context.log.metrics == {"co_reward/labelled": 0.5}


def test_a_task_without_other_wordings_is_told_so(make_context: Callable, make_rollout: Callable) -> None:
    context = make_context(variants=lambda problem, n: [])
    with pytest.raises(RecipeError, match="no other wording.*view=teacher"):
        CoReward().rate([[make_rollout()]], context)


def test_the_teacher_is_the_start_until_the_policy_moves(
    make_context: Callable, make_policy: Callable, make_rollout: Callable
) -> None:
    engine = Voters(said=["#1"])
    context = make_context(
        policy=make_policy(engine, checkpoint=Checkpoint(path="start")), start=Checkpoint(path="start")
    )
    assert CoReward(view="teacher", votes=1).rate([[make_rollout("#1")]], context) == [[1.0]]
    assert (engine.by, engine.asked) == (["start"], ["S:3+5+8="]) and not (context.folder / "teacher").exists()


def test_the_teacher_follows_by_a_share_that_falls_along_a_cosine(
    make_context: Callable,
    make_policy: Callable,
    make_rollout: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[str, str, float]] = []

    def blend(old: Checkpoint, new: Checkpoint, share: float, folder: Path) -> Checkpoint:
        made.append((Path(old.path).parent.name, new.path, round(share, 3)))
        folder.mkdir()
        return Checkpoint(path=str(folder))

    monkeypatch.setattr(training, "blend", blend)
    engine, folders = Voters(said=["#1"]), [tmp_path / f"round{i}" for i in range(4)]
    for number in (1, 2, 3):
        folders[number].mkdir()
        policy = make_policy(engine, checkpoint=Checkpoint(path=f"policy{number}"))
        start = Checkpoint(path="start/model")
        before = folders[number - 1] if number > 1 else None
        context = make_context(
            policy=policy, start=start, folder=folders[number], previous=before, round=number, rounds=3
        )
        for _ in range(2):  # asked twice in a step, made once
            CoReward(view="teacher", votes=1, decay=0.5).rate([[make_rollout("#1")]], context)
    # round 1: 1 - 0.5 * (1 + cos 0) / 2; round 2: cos(pi/3) = 0.5; round 3: cos(2 pi/3) = -0.5
    assert made == [("start", "policy1", 0.5), ("round1", "policy2", 0.625), ("round2", "policy3", 0.875)]
    assert engine.by[-1] == str(folders[3] / "teacher")


@pytest.mark.parametrize("stage", ["acquisition", "optimization"])
def test_the_audit_asks_the_teacher_of_its_round_and_writes_none(
    make_context: Callable,
    make_policy: Callable,
    make_rollout: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    made: list[tuple[str, str]] = []

    def blend(old: Checkpoint, new: Checkpoint, share: float, folder: Path) -> Checkpoint:
        made.append((old.path, new.path))
        folder.mkdir()
        return Checkpoint(path=str(folder))

    monkeypatch.setattr(training, "blend", blend)
    engine, rounds = Voters(said=["#1"]), [tmp_path / f"round_00{i}" for i in range(4)]
    (rounds[0] / "audit").mkdir(parents=True)
    for number in (1, 2, 3):  # the first round trains from the start, which is its own teacher
        policy = make_policy(engine, checkpoint=Checkpoint(path="start" if number == 1 else f"policy{number}"))
        for step in (stage, "audit"):
            folder, before = rounds[number] / f".{step}.partial", rounds[number - 1] / step
            folder.mkdir(parents=True)
            context = make_context(
                policy=policy,
                start=Checkpoint(path="start"),
                folder=folder,
                previous=before if before.exists() else None,
                round=number,
            )
            CoReward(view="teacher", votes=1).rate([[make_rollout("#1")]], context)
            folder.rename(rounds[number] / step)
    teachers = [str(rounds[number] / stage / "teacher") for number in (2, 3)]
    assert made == [("start", "policy2"), (teachers[0], "policy3")]
    partial = str(rounds[2] / f".{stage}.partial" / "teacher"), str(rounds[3] / f".{stage}.partial" / "teacher")
    assert engine.by == ["start", "start", partial[0], teachers[0], partial[1], teachers[1]]


@pytest.mark.slow
def test_blended_weights_lie_between_the_two(tmp_path: Path) -> None:
    import torch

    from selfimprove.methods.model.tiny import Tiny

    one, other = (Tiny()._untrained(tmp_path / str(seed), seed) for seed in (1, 2))
    made = training.blend(one, other, 0.25, tmp_path / "made")
    first, second, both = (training.load(checkpoint)[0].state_dict() for checkpoint in (one, other, made))
    for name, weight in both.items():
        assert torch.allclose(weight, 0.25 * first[name] + 0.75 * second[name], atol=1e-6), name


@pytest.mark.parametrize("options", [{"view": "mirror"}])
def test_options_that_make_no_sense(options: dict) -> None:
    with pytest.raises(RecipeError, match="reward.co_reward"):
        CoReward(**options)
