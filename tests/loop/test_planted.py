"""Loops with a known outcome, run for real on the tiny model: each planted harm raises its own alarm, gains certify.

One bootstrapped model is the start of all of them; they go through the same runner that a user's run does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from selfimprove import registry, training
from selfimprove.interfaces import Acquisition, Context, Optimization, Reward
from selfimprove.logs import Silent
from selfimprove.loop.begin import create
from selfimprove.loop.loop import Runner
from selfimprove.records import Checkpoint, Prompt, Record, Rollout

pytestmark = pytest.mark.slow

SMALL = ["gate_problems=200", "sealed_problems=100", "engine.transformers.max_completion_length=64"]
LOOP = [
    *("acquisition.seed_prompts.problems=300", "acquisition.rejection_sampling.samples=4"),
    *("optimization.sft.max_steps=30", "optimization.sft.learning_rate=5e-4"),
]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the bootstrapped model of seed 0; built once, or taken from the user's cache."""
    root = tmp_path_factory.mktemp("start") / "run"
    few = ["gate_problems=20", "sealed_problems=20", "audit_problems=0", "rounds=0"]
    Runner(create("quickstart", few, root), Silent()).run()
    return root / "round_000" / "model"


@pytest.fixture
def loop(start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, Any]]]:
    """`loop("rounds=2")`: the summary of a run from that model; methods registered in a test are gone after it."""
    registry.discover()
    monkeypatch.setattr(registry, "METHODS", dict(registry.METHODS))
    count = iter(range(1000))

    def made(*overrides: str) -> dict[str, Any]:
        given = ["model=pretrained", f"model.pretrained.path={start}", *SMALL, *overrides]
        folder = create("quickstart", given, tmp_path / f"run{next(count)}")
        return Runner(folder, Silent()).run()

    yield made


def levels(summary: dict[str, Any], alarm: str) -> list[int]:
    """The highest level of an alarm in each round that it spoke in."""
    found: dict[int, int] = {}
    for alert in summary["loop"]["alerts"]:
        if alert["alarm"] == alarm:
            found[alert["round"]] = max(found.get(alert["round"], 0), alert["level"])
    return list(found.values())


def test_null_loop_of_noise_is_hardly_ever_certified(loop: Callable[..., dict[str, Any]]) -> None:
    """40 short runs whose optimizer adds noise to the weights: at least 38 certify nothing."""

    @registry.register("noise")
    @dataclass
    class Noise(Optimization):
        consumes: ClassVar[Any] = Rollout
        scale: float = 0.01

        def optimize(self, records: Sequence[Record], context: Context) -> Checkpoint:
            import torch

            model, tokenizer = training.load(context.policy.checkpoint)
            torch.manual_seed(context.seed)
            with torch.no_grad():
                for weight in model.parameters():
                    weight.add_(torch.randn_like(weight) * self.scale)
            return training.save(model, tokenizer, context.folder / "model")

    few = ["acquisition.seed_prompts.problems=10", "acquisition.rejection_sampling.samples=2", "reward=random"]
    sizes = ["optimization=noise", "rounds=3", "gate_problems=100", "sealed_problems=20", "audit_problems=0"]
    sizes += ["probe_problems=0"]
    certified = [loop(*few, *sizes, f"seed={seed}")["loop"]["certified"] for seed in range(40)]
    assert sum(n == 0 for n in certified) >= 38


def test_planted_gain_is_certified(loop: Callable[..., dict[str, Any]]) -> None:
    """The real loop with a verifier, at a level that it can learn: at least 4 of 5 runs are certified."""
    summaries = [loop(*LOOP, "rounds=2", f"seed={seed}") for seed in range(5)]
    assert sum(s["loop"]["certified"] > 0 for s in summaries) >= 4
    assert not any(alert["level"] == 2 for s in summaries for alert in s["loop"]["alerts"])


def test_a_judge_that_knows_more_than_the_solver_passes_its_form_and_its_loop_is_certified(tmp_path: Path) -> None:
    """No label and no verifier, but worked examples of judging that show what the solver was never taught."""
    judged = ["reward=judge", "reward.judge.samples=1", "reward.judge.temperature=0", "task.chain_sums.judged_gap=true"]
    taught = ["roles=[solve,judge]", "max_steps=1500", "target_accuracy=1.0", "check_every=500", "decay_steps=300"]
    words = [*SMALL, *LOOP, *judged, *(f"model.tiny.{option}" for option in taught), "rounds=2"]
    summary = Runner(create("quickstart", words, tmp_path / "run"), Silent()).run()
    assert summary["per_round"][0]["judge/passed"] == 1.0
    assert summary["loop"]["certified"] > 0 and summary["sealed"]["ci"][0] > 0.1


def test_planted_hack_rings_before_round_4_and_never_ships(loop: Callable[..., dict[str, Any]]) -> None:
    """The reward is the length of the completion."""

    @registry.register("verbosity")
    @dataclass
    class Verbosity(Reward):
        def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
            return [[len(rollout.text) / 64 for rollout in group] for group in groups]

    longest = ["selection.threshold.min_score=0.3", "selection.threshold.per_prompt=1"]
    hot = ["acquisition.rejection_sampling.temperature=1.5", "acquisition.rejection_sampling.samples=8"]
    summary = loop(*LOOP, "reward=verbosity", *longest, *hot, "rounds=3", "optimization.sft.max_steps=60")
    assert 2 in levels(summary, "reward_hacking")
    assert summary["sealed"]["champion_round"] == 0


def test_planted_forgetting_is_vetoed(loop: Callable[..., dict[str, Any]]) -> None:
    """Trained on its own answers to the shortest problems alone, hard: the longest are unlearned."""
    one_family = ["task.chain_sums.level=4", "optimization.sft.learning_rate=3e-3", "optimization.sft.max_steps=200"]
    summary = loop(*LOOP, *one_family, "rounds=1", "gate_problems=450")
    assert 2 in levels(summary, "forgetting")
    [_, line] = summary["per_round"]
    assert line["decision"]["verdict"] == "rollback" and summary["sealed"]["champion_round"] == 0


def test_planted_contamination_is_dropped_and_counted(loop: Callable[..., dict[str, Any]]) -> None:
    """A proposer that proposes whatever comes to its mind, a third of it held out."""

    @registry.register("careless")
    @dataclass
    class Careless(Acquisition):
        consumes: ClassVar[Any] = Prompt
        produces: ClassVar[Any] = Prompt

        def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
            digits = [[(i * k + k) % 10 for i in range(1, 5)] for k in range(1, 400)]
            texts = sorted({"+".join(map(str, row)) + "=" for row in digits})
            return [Prompt(prompt=context.roles.solve(text), key=text, answer="0") for text in texts]

    summary = loop(*LOOP, "acquisition=[seed_prompts,careless,rejection_sampling]", "reward=random", "rounds=1")
    assert summary["loop"]["held_out_dropped"] > 0
    assert levels(summary, "contamination") and summary["sealed"]["champion_round"] == 0


def test_collapse_rings_where_data_are_replaced_and_not_where_they_accumulate(
    loop: Callable[..., dict[str, Any]],
) -> None:
    """Eight rounds on the model's own unselected samples, drawn a little too cold."""

    own = ["reward=[]", "selection=[]", "acquisition.rejection_sampling.temperature=0.8", "gate=always", "rounds=8"]
    few = ["acquisition.seed_prompts.problems=200", "acquisition.rejection_sampling.samples=2", "gate_problems=50"]
    replaced = loop(*LOOP, *own, *few, "optimization.sft.restart=last", "optimization.sft.data=newest")
    kept = loop(*LOOP, *own, *few, "optimization.sft.restart=base", "optimization.sft.data=all_rounds")
    assert levels(replaced, "entropy") and not levels(kept, "entropy")
    assert not levels(kept, "diversity") and not levels(kept, "majority_collapse")


def test_planted_majority_of_wrong_answers_is_vetoed(loop: Callable[..., dict[str, Any]]) -> None:
    """The reward pays the answer that is most frequent over all problems: a majority that is wrong nine times of ten."""

    @registry.register("herd")
    @dataclass
    class Herd(Reward):
        def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
            answers = [[context.answer_of(rollout.text) for rollout in group] for group in groups]
            counts = Counter(answer for group in answers for answer in group if answer is not None)
            favourite = max(counts, key=lambda answer: (counts[answer], answer))
            return [[float(answer == favourite) for answer in group] for group in answers]

    hard = ["optimization.sft.max_steps=120", "optimization.sft.learning_rate=2e-3"]
    summary = loop(*LOOP, *hard, "reward=herd", "rounds=2")
    assert 2 in levels(summary, "majority_collapse")
    assert summary["sealed"]["champion_round"] == 0
