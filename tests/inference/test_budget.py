"""What answering one problem may take: never overrun, counted where it ended something, and a ceiling for `check`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.costs import Cost, Given
from selfimprove.episodes import Tool
from selfimprove.interfaces import Budget, Refinement, Session
from selfimprove.loop.loop import Runner
from selfimprove.methods.evaluation.accuracy import Accuracy
from selfimprove.methods.refinement.best_of_n import BestOfN
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.needs import Needs
from selfimprove.recipe.compose import load
from selfimprove.recipe.cost import estimate
from selfimprove.records import Prompt, Rollout
from selfimprove.rounds import Exam

ASKED = [Prompt(prompt=[{"role": "user", "content": f"q{i}"}], answer="1", key=f"q{i}") for i in range(3)]


class Double(Tool):
    def call(self, text: str) -> str:
        return text * 2


class Tooled(ChainSums):
    """A task with a tool."""

    def tools(self, problem: Prompt) -> Mapping[str, Tool]:
        return {"double": Double()}


@dataclass
class Caller(Refinement):
    """Answers, and then calls a tool three times."""

    def cost(self, given: Given) -> Cost:
        return given.attempt + Cost(calls=3)

    def needs(self) -> Needs:
        return Needs(tools=("double",))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        [reply] = await session.attempts(prompt)
        for n in range(3):
            assert session.left.calls == 2 - n or session.left.unlimited
            assert await session.call("double", "ab") == "abab"
        return reply


def test_calls_of_tools_are_bounded_and_what_is_best_then_is_the_answer(words: Any, chained: Callable) -> None:
    engine = words(rule=lambda messages: {"#1": 1.0})
    free = chained(engine, Caller(), task=Tooled()).answer(ASKED)
    bound = chained(engine, Caller(), task=Tooled(), budget=Budget(calls=2)).answer(ASKED)
    assert [one.text for one in free] == [one.text for one in bound] == ["#1"] * 3
    assert "spent" not in free[0].info
    assert [one.info["spent"] for one in bound] == [{"completions": 1, "tokens": 2, "calls": 2, "cut": 1}] * 3


@pytest.mark.parametrize(("tokens", "cut"), [(9, 0.0), (5, 1.0), (4, 0.0), (3, 1.0)])
def test_only_what_the_budget_ended_counts_as_cut(words: Any, chained: Callable, tokens: int, cut: float) -> None:
    """Three samples of 4 tokens or two of 2, by the length that an engine allows: 9 and 4 tokens pay for them."""
    engine = words(rule=lambda messages: {"so it is": 1.0} if tokens < 5 else {"x": 1.0}, most=4)
    samples = 1 if tokens < 5 else 3
    policy = chained(engine, SelfConsistency(samples=samples), budget=Budget(tokens=tokens))
    report = Accuracy().evaluate(policy, Exam(problems=ASKED, verify=lambda *_: None))
    assert (report.metrics["over_budget"].value, report.metrics["over_budget"].n) == (cut, 3)
    assert "over_budget" not in Accuracy().evaluate(chained(engine), Exam(problems=ASKED, verify=print)).metrics


def judged(name: str, groups: Any, policy: Any) -> list[list[float | None]]:
    """A reward that asks the model once about each attempt, and once more about one that is `#2`."""
    asked = [Prompt(prompt=[{"role": "user", "content": f"judge {one.text}"}]) for group in groups for one in group]
    said = iter(policy.sample(asked, 1, role="judge"))
    doubted = [one for one in asked if one.prompt[0]["content"].endswith("#2")]
    policy.sample(doubted, 2, role="judge")
    return [[float(len(next(said)[0].text)) for _ in group] for group in groups]


def rates(by: str, n: int) -> Cost:
    assert by in ("judge", "")
    return Cost(completions=3 * n, tokens=3 * n * 8)


@pytest.mark.parametrize("budget", [Budget(), Budget(tokens=52), Budget(tokens=51), Budget(completions=7)])
def test_what_a_reward_asks_counts_for_the_answer_that_asked_for_it(
    words: Any, chained: Callable, budget: Budget
) -> None:
    """Two attempts of 2 tokens are judged in 2 tokens each, in 4 more if they are `#2`; it could be 48 for both."""

    def rule(messages: Any) -> Mapping[str, float]:
        return {"y": 1.0} if messages[0]["content"].startswith("judge") else {"#1": 0.5, "#2": 0.5}

    def answered(asked: list[Prompt]) -> tuple[list[Rollout], Any]:
        engine, method = words(rule=rule, most=8), BestOfN(samples=2, scorer="reward", reward="judge")
        policy = chained(engine, method, rewards=judged, rating=rates, budget=budget)
        return policy.answer(asked), engine

    alone = [answered([one]) for one in ASKED]
    for [made], engine in alone:
        assert made.info["spent"]["completions"] == engine.drawn
        assert made.info["spent"]["tokens"] == 2 * engine.drawn
        assert (engine.drawn > 2) == (budget.tokens >= 52 and budget.completions >= 8)
    together, _ = answered(ASKED)
    assert [one.info["spent"] for one in together] == [one.info["spent"] for [one], _ in alone], "in any company"


@pytest.mark.long
def test_check_counts_with_it_and_a_run_keeps_to_it(make_run: Callable) -> None:
    vote = ("refinement=self_consistency", "refinement.self_consistency.samples=8", "gate_problems=10")
    free, bound = (estimate(load("quickstart", [*vote, *more])[0]) for more in ((), ("answer_tokens=3",)))
    assert bound.parts["evaluation"].tokens == bound.parts["evaluation"].completions, "at least a token each"
    assert bound.parts["evaluation"].completions * 8 == free.parts["evaluation"].completions * 3
    assert bound.parts["data"] == free.parts["data"]
    few = ("rounds=0", "probe_problems=0", "audit_problems=0", "sealed_problems=5", "control_problems=0")
    folder, log = make_run(*vote, *few, "answer_tokens=3")
    run = Runner(folder, log)
    run.run()
    report = run.stored.report(0, "champion")
    assert {one.info["spent"]["completions"] for one in report.rollouts} == {3}
    assert report.metrics["over_budget"].value == 1.0


@given(tokens=st.integers(0, 100), completions=st.sampled_from([1, 3, math.inf]))
@settings(max_examples=25)
def test_a_budget_is_never_overrun_and_leaves_an_answer(
    words: Any, chained: Callable, chain: Any, tokens: int, completions: float, problems: Callable, coin: Callable
) -> None:
    engine = words(rule=coin(0.5))
    budget = Budget(tokens=tokens, completions=completions)
    made = chained(engine, *chain, budget=budget).answer(problems(4))
    for rollout in made:
        spent = rollout.info["spent"]
        assert spent.get("tokens", 0) <= tokens and spent.get("completions", 0) <= completions
        assert bool(spent.get("completions")) == (tokens >= 1)
        if not tokens:
            assert rollout.text == "" and rollout.truncated
