"""What the refinement answers becomes data; its lift over plain samples is told, and how much of it was kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from selfimprove.costs import Cost, Flow, Given
from selfimprove.methods.acquisition.refined import Refined
from selfimprove.methods.refinement.best_of_n import BestOfN
from selfimprove.methods.refinement.revise import Revise
from selfimprove.records import Rollout


@pytest.fixture
def acquire(table_model: ModuleType, tmp_path: Path) -> Callable[..., tuple[list[Rollout], Any]]:
    """`acquire(Refined(), chain, table)`: what a round makes of 40 questions, and its context."""

    def run(method: Refined, chain: Any, table: Any, **changes: Any) -> tuple[list[Rollout], Any]:
        task = table_model.Quiz()
        policy = table_model.policy_of(chain, table_model.TableModel(table=table), task)
        context = table_model.context_of(policy, task, tmp_path, log=Numbers(), **changes).held(method)
        problems = task.problems("train", 40, 0)
        made: list[Any] = list(method.acquire(problems, context))
        return made, context

    return run


class Numbers:
    """A log of metrics."""

    def __init__(self) -> None:
        self.metrics = dict[str, float]()

    def progress(self, done: int, total: int, unit: str = "") -> None: ...
    def note(self, text: str) -> None: ...
    def metric(self, name: str, value: float) -> None:
        self.metrics[name] = value


LIKELY = {f"q{i}": {"a #4": 0.6, "b #5": 0.4} for i in range(40)}


def test_answers_without_reward_and_the_lift_in_numbers(acquire: Callable[..., Any]) -> None:
    made, context = acquire(Refined(samples=2), BestOfN(samples=8, temperature=1.0), LIKELY)
    assert len(made) == 80 and all(one.reward is None and one.unrated and one.role == "solve" for one in made)
    assert [one.prompt.key for one in made[:3]] == ["q0", "q0", "q1"] and made[0].prompt.answer == "4"
    found = context.log.metrics
    assert found["refined/accuracy"] > 0.95 and found["refined/plain"] == pytest.approx(0.6, abs=0.25)
    assert found["refined/lift"] == pytest.approx(found["refined/accuracy"] - found["refined/plain"])
    assert found["refined/lift_low"] <= found["refined/lift"] <= found["refined/lift_high"]
    assert found["refined/cost"] == pytest.approx(8.0) and "refined/retained" not in found


@pytest.mark.parametrize(
    ("low", "plain", "kept"), [(0.1, 0.2, 1.0), (0.1, 0.6, 0.5), (0.1, 1.0, 0.0), (-0.1, 0.2, None)]
)
def test_the_share_of_the_last_lift_that_was_kept(
    low: float, plain: float, kept: float | None, acquire: Callable[..., Any], tmp_path: Path
) -> None:
    before = tmp_path / "before"
    before.mkdir()
    (before / "lift.json").write_text(json.dumps({"plain": plain, "lift": 0.8, "lift_low": low}))
    _, context = acquire(Refined(), BestOfN(samples=1), lambda messages: {"a #4": 1.0}, previous=before)
    found = context.log.metrics.get("refined/retained")
    assert found == (None if kept is None else pytest.approx(kept))  # plain accuracy is 1 now
    assert json.loads((tmp_path / "lift.json").read_text())["plain"] == 1.0


def test_an_answer_of_another_role_is_an_answer_to_the_problem(acquire: Callable[..., Any]) -> None:
    made, _ = acquire(Refined(plain=0), Revise(), lambda messages: {"c #4": 1.0})
    assert [one.prompt.key for one in made] == [f"q{i}" for i in range(40)]
    assert {one.prompt.prompt[-1]["content"] for one in made} == {f"q{i}" for i in range(40)}
    assert all(one.logprobs is None and one.role == "solve" for one in made)


def test_cost_and_flow_follow_from_the_chain() -> None:
    given = Given(flow=Flow(10, 10, 1), length=7, attempt=Cost(completions=4, tokens=28))
    assert Refined(samples=3, plain=2).cost(given) == 30 * Cost(completions=4, tokens=28) + given.draw(20)
    assert Refined(samples=3).gives(given) == Flow(30, 10, 3)


def test_what_is_done_around_all_answers_counts_once_for_the_problems_of_a_round() -> None:
    given = Given(
        flow=Flow(10, 10, 1), length=7, attempt=Cost(completions=1), joint=lambda flow: Cost(2 * flow.records)
    )
    assert Refined(samples=3, plain=0).cost(given) == Cost(completions=20 + 30)
