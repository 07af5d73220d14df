"""Attempts without sessions are those that sessions would make: the same requests, answers, marks and seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.inference import single
from selfimprove.interfaces import Budget, Playing, Policy, Sampling
from selfimprove.methods.refinement.greedy import Greedy
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.methods.task.chain_sums import ChainSums

PROBLEMS = [*ChainSums().problems("train", 4, seed=3), *ChainSums().problems("train", 2, seed=3)]
HOW = {
    "the answers of an exam": (True, Playing()),
    "several episodes": (True, Playing(n=2)),
    "plain samples": (False, Playing(n=3)),
    "a data stage": (False, Playing(n=2, training=True, sampling=Sampling(temperature=0.5))),
}


@pytest.mark.parametrize("case", HOW)
def test_it_is_what_sessions_do(
    make_engine: Callable[..., Any],
    make_policy: Callable[..., Policy],
    classroom: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    refined, how = HOW[case]

    def played() -> tuple[Any, Any, Any]:
        engine = make_engine(answers=classroom(PROBLEMS))
        policy = make_policy(engine, Greedy())
        made = policy.desk.play(policy if refined else policy.plain(), PROBLEMS, how)
        return made, engine.seen, engine.calls

    direct = played()
    monkeypatch.setattr(single, "sampling_of", lambda *given: None)
    assert played() == direct
    assert {one.rollout.reward for one in direct[0]} <= {0.0, 1.0}


def test_more_than_an_attempt_or_a_limit_needs_sessions(task: ChainSums, make_policy: Callable[..., Policy]) -> None:
    worlds = [task.open(problem) for problem in PROBLEMS]
    greedy, vote, chain = make_policy(None, Greedy()), make_policy(None, SelfConsistency()), (Greedy(), Greedy())
    assert single.sampling_of(greedy, worlds, Playing(), Budget()) == Sampling(temperature=0.0)
    assert single.sampling_of(greedy, worlds, Playing(), Budget(tokens=9)) is None
    assert single.sampling_of(vote, worlds, Playing(), Budget()) is None
    assert single.sampling_of(make_policy(None, *chain), worlds, Playing(), Budget()) is None
