"""A method is refused what it does not declare: abilities, statistics, roles, policies, tools, and more than its cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from selfimprove.costs import Cost, Given
from selfimprove.episodes import Tool
from selfimprove.errors import Refused
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout


@dataclass
class Liar(Refinement):
    """Does one thing that it declares only if it is honest."""

    deed: str
    honest: bool = False

    def needs(self) -> Needs:
        said = {
            "stop": Needs(engine=("stop",)),
            "note": Needs(engine=("tops",), statistics=("entropy",)),
            "logprobs": Needs(statistics=("entropy",)),
            "role": Needs(roles=("judge",)),
            "other": Needs(policies=("start",)),
            "tool": Needs(tools=("abacus",)),
        }
        return said.get(self.deed, Needs()) if self.honest else Needs()

    def cost(self, given: Given) -> Cost:
        true = {
            "twice": 2 * given.attempt,
            "long": given.attempt + given.draw(1, 64),
            "logprobs": given.attempt + Cost(scored=1),
            "role": given.attempt + given.draw(),
            "tool": given.attempt + Cost(calls=1),
        }
        return true.get(self.deed, given.attempt) if self.honest else given.attempt

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = {"stop": Sampling(stop=(".",)), "note": Sampling(note=("entropy",))}.get(self.deed, Sampling())
        [first] = await session.attempts(prompt, 1, sampling)
        match self.deed:
            case "twice":
                await session.attempts(prompt)
            case "long":
                await session.draw(prompt, 1, Sampling(max_completion_length=64))
            case "logprobs":
                await session.logprobs_of([first], "entropy")
            case "role":
                await session.draw(session.words("judge", prompt, "1"), role="judge")
            case "other":
                session.other("start")
            case "tool":
                await session.call("abacus", "1+1")
        return first


class Counted(ChainSums):
    """The same task with a tool."""

    def tools(self, problem: Prompt) -> Any:
        return {"abacus": Abacus()}


class Abacus(Tool):
    def call(self, text: str) -> str:
        return "2"


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("stop", "uses the engine's 'stop' and does not declare it: its needs() must return Needs(engine=('stop',))"),
        ("note", "uses the engine's 'tops'"),
        ("logprobs", "uses the statistic 'entropy'"),
        ("role", "uses the role 'judge'"),
        ("other", "uses the policy 'start'"),
        ("tool", "uses the tool 'abacus'"),
        ("twice", "takes 2 completions for one problem and declares at most 1: its cost(given) must return"),
        ("long", "takes 2 completions"),
    ],
)
def test_a_refinement_is_refused_what_it_does_not_declare(
    deed: str, said: str, words: Any, chained: Callable, problems: Callable
) -> None:
    engine = words(rule=lambda messages: {"a b c": 1.0})
    engine.can = frozenset({"stop", "logprobs", "tops"})
    for chain in ((Liar(deed),), (Liar(deed), SelfConsistency(samples=2))):
        with pytest.raises(Refused) as caught:
            chained(engine, *chain, task=Counted()).answer(problems(2))
        assert str(caught.value).startswith(f"Liar {said}")  # not what stands around it in the chain
    honest = chained(engine, Liar(deed, honest=True), task=Counted())
    assert len(replace(honest, desk=replace(honest.desk, others=lambda name: honest)).answer(problems(2))) == 2


def test_a_method_that_says_too_few_tokens_is_refused(words: Any, chained: Callable, problems: Callable) -> None:
    @dataclass
    class Terse(Refinement):
        def cost(self, given: Given) -> Cost:
            return given.draw(1, 2)

        async def answer(self, prompt: Prompt, session: Session) -> Rollout:
            return (await session.attempts(prompt))[0]

    engine = words(rule=lambda messages: {"a b c": 1.0})
    with pytest.raises(Refused, match="Terse takes 4 tokens for one problem and declares at most 2"):
        chained(engine, Terse()).answer(problems(1))


def test_a_data_method_is_held_to_its_needs_too(
    words: Any, chained: Callable, make_context: Callable, problems: Callable
) -> None:
    policy = chained(words(rule=lambda messages: {"a": 1.0}))
    given = make_context(policy=policy).held(Liar("stop", honest=True))
    assert given.policy.sample(problems(1), sampling=Sampling(stop=(".",)))
    with pytest.raises(Refused, match="Liar uses the role 'hint'"):
        given.policy.sample(problems(1), role="hint")
    with pytest.raises(Refused, match="Liar uses the statistic 'logprob'"):
        given.policy.logprobs_of([])
    with pytest.raises(Refused, match="Liar uses the engine's 'copies'"), given.policy.adapted([], None):
        pass
