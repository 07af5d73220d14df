"""Refinements in a run: a recipe may name a chain, and what each learns belongs to the weights that were kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from selfimprove import registry
from selfimprove.interfaces import Context, Gate, Refinement, Session
from selfimprove.loop.history import Stored
from selfimprove.loop.loop import Runner
from selfimprove.records import Decision, Prompt, Report, Rollout
from selfimprove.report.ending import block


@pytest.fixture
def remembering(make_run: Callable[..., Any]) -> Callable[..., Any]:
    """`remembering("rounds=3")`: a run whose refinement keeps the rounds it has seen; the verdicts are fixed."""

    @registry.register("memory")
    @dataclass
    class Memory(Refinement):
        def fit(self, context: Context) -> dict[str, Any]:
            return {"rounds": [*context.state.get("rounds", []), context.round], "place": context.place}

        async def answer(self, prompt: Prompt, session: Session) -> Rollout:
            assert session.state["rounds"]
            return (await session.attempts(prompt))[0]

    @registry.register("fixed_verdicts")
    @dataclass
    class FixedVerdicts(Gate):
        def decide(self, champion: Report, incumbent: Report, candidate: Report, *rest: Any) -> Decision:
            history: Sequence[Any] = rest[1]
            return Decision(verdict=["certify", "reject", "certify"][len(history) - 1], reason="as the test says")

    sizes = ("gate_problems=10", "sealed_problems=10", "audit_problems=0", "probe_problems=0", "gate=fixed_verdicts")
    return lambda *overrides: make_run(*sizes, *overrides)


def states(folder: Any, rounds: int) -> list[Any]:
    return [json.loads((folder.step(number, "refinement") / "state.json").read_text()) for number in range(rounds + 1)]


@pytest.mark.long
def test_what_a_rejected_candidate_learned_is_gone_with_it(remembering: Callable[..., Any]) -> None:
    folder, log = remembering("rounds=3", "refinement=memory")
    Runner(folder, log).run()
    found = states(folder, 3)
    assert [state["rounds"] for state in found] == [[0], [0, 1], [0, 1, 2], [0, 1, 3]]
    assert Stored(folder).policy(3, 3, 0, log).states == (found[3],)


@pytest.mark.long
def test_a_chain_keeps_the_state_of_each_place_and_the_last_answers(remembering: Callable[..., Any]) -> None:
    folder, log = remembering(
        "rounds=1", "refinement=[memory,self_consistency]", "refinement.self_consistency.samples=3"
    )
    Runner(folder, log).run()
    memory = {"rounds": [0, 1], "place": 0}
    assert states(folder, 1) == [[{"rounds": [0], "place": 0}, {}], [memory, {}]]
    policy = Stored(folder).policy(1, 1, 0, log)
    assert policy.states == (memory, {})
    rollouts = Stored(folder).report(1, "candidate").rollouts
    assert [one.info["spent"]["completions"] for one in rollouts] == [3] * 10


@pytest.mark.long
def test_a_run_distils_its_refinement_and_prices_it_at_equal_tokens(make_run: Callable[..., Any]) -> None:
    folder, log = make_run(
        *("rounds=2", "refinement=best_of_n", "refinement.best_of_n.samples=3", "acquisition=[seed_prompts,refined]"),
        *("gate_problems=20", "sealed_problems=20", "audit_problems=0", "probe_problems=0", "control_problems=10"),
        start=0.6,
    )
    summary = Runner(folder, log).run()
    first, second = summary["per_round"][1:]
    assert first["refined/cost"] == 3.0 and "refined/retained" not in first
    assert first["refined/lift"] == pytest.approx(first["refined/accuracy"] - first["refined/plain"])
    assert Stored(folder).past(2).reported["refined/lift"] == second["refined/lift"]
    priced = summary["sealed"]["controls"]["equal_tokens"]
    assert (priced["tokens"], priced["votes_tokens"], priced["samples"], priced["problems"]) == (3.0, 3.0, 3, 10)
    assert priced["over_votes"]["value"] == pytest.approx(priced["refined"]["value"] - priced["votes"]["value"])
    [told] = [part.text for part in block(summary, folder.root) if part.label == "equal tokens"]
    assert (
        told.startswith("3 an answer: refined ") and "one sample" in told and told.endswith("over votes, 10 problems")
    )
