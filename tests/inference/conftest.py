"""An engine whose tokens are words and whose chances are known, for methods that ask more than once."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from selfimprove.costs import Cost, Given
from selfimprove.inference.desk import Sessions
from selfimprove.interfaces import Ask, Engine, Policy, Refinement, Session
from selfimprove.methods.refinement.greedy import Greedy
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.needs import Needs
from selfimprove.records import Message, Prompt, Rollout

Rule = Callable[[Sequence[Message]], Mapping[str, float]]


class Power(Exception):
    """The end of a process."""


@dataclass
class Words(Engine):
    """Draws completions from the table that `rule` gives for a prompt; a token is a word, and one more is the end."""

    can: ClassVar[frozenset[str]] = frozenset({"stop", "logprobs"})
    rule: Rule = lambda messages: {"?": 1.0}
    most: int = 16
    die_at: int | None = None
    calls: int = 0
    asked: list[Ask] = field(default_factory=list)
    drawn: int = 0

    def longest(self) -> int:
        return self.most

    def draw(self, asks: Sequence[Ask], log: Any) -> list[list[Rollout]]:
        self._call()
        self.asked += asks
        self.drawn += sum(ask.n for ask in asks)
        return [[self._one(ask, number) for number in range(ask.first, ask.first + ask.n)] for ask in asks]

    def logprobs_of(self, checkpoint, rollouts, statistic="logprob"):
        self._call()
        return [[math.log(self.rule(one.prompt.prompt)[one.text])] for one in rollouts]

    def _call(self) -> None:
        if self.calls == self.die_at:
            raise Power
        self.calls += 1

    def _one(self, ask: Ask, number: int) -> Rollout:
        table = self.rule(ask.prompt.prompt)
        if ask.sampling.temperature == 0:
            text = max(table, key=lambda said: table[said])
        else:
            chance = random.Random(repr((ask.seed, ask.prompt.prompt, number)))
            text = chance.choices(list(table), [*table.values()])[0]
        words, limit = text.split(), ask.sampling.max_completion_length or self.most
        whole = len(words) < limit
        return Rollout(
            prompt=ask.prompt,
            completion=[{"role": "assistant", "content": " ".join(words[:limit])}],
            logprobs={"sum": math.log(table[text]), "count": min(len(words) + 1, limit)},
            info={"finish_reason": "stop" if whole else "length"},
        )


@pytest.fixture
def words() -> type[Words]:
    """`words(rule=..., die_at=3)`: an engine that draws from known chances, remembers its asks, and may die."""
    return Words


@pytest.fixture
def power() -> type[Exception]:
    """What the engine `words` dies of."""
    return Power


@pytest.fixture
def chained(make_policy: Callable[..., Policy], quiet_log: Any) -> Callable[..., Policy]:
    """`chained(engine, method, ..., budget=...)`: a policy with a chain of refinements."""

    def make(engine: Engine, *chain: Any, seed: int = 0, task: Any = None, **desk: Any) -> Policy:
        task = task or ChainSums()
        serving = Sessions(task, **desk)
        own = {"chain": chain, "states": tuple({} for _ in chain)}  # an empty chain stays one
        return make_policy(engine, **own, seed=seed, desk=serving, answer_of=task.answer_of, log=quiet_log)

    return make


# ---- methods that ask more than once -----------------------------------------------------------------------------
def surely_ahead(first: int, second: int) -> float:
    """P(p > 1/2) under Beta(first + 1, second + 1)."""
    n = first + second + 1
    return sum(math.comb(n, j) for j in range(first + 1)) / 2**n


@dataclass
class AdaptiveVote(Refinement):
    """Adaptive consistency: draws by portions until the leader surely leads."""

    samples: int = 16
    portion: int = 4
    sure: float = 0.95

    def cost(self, given: Given) -> Cost:
        return self.samples * given.attempt

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        drawn: list[Rollout] = []
        while len(drawn) < self.samples:
            drawn += await session.attempts(prompt, min(self.portion, self.samples - len(drawn)))
            votes = Counter(map(session.answer_of, drawn)).most_common(2)
            session.best = next(one for one in drawn if session.answer_of(one) == votes[0][0])
            (_, first), (_, second) = [*votes, ("", 0)][:2]
            if surely_ahead(first, second) >= self.sure:
                break
        assert session.best is not None
        return session.best


@dataclass
class Debate(Refinement):
    """Answers see each other and are given again, all agents of a turn at once."""

    agents: int = 3
    turns: int = 2

    def needs(self) -> Needs:
        return Needs(roles=("refine",))

    def cost(self, given: Given) -> Cost:
        return self.agents * (given.attempt + given.draw(self.turns - 1))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        said = await session.attempts(prompt, self.agents)
        for _ in range(self.turns - 1):
            if len(set(map(session.answer_of, said))) == 1:
                break
            said = await session.all([self._again(prompt, said, i, session) for i in range(len(said))])
        return said[session.random.randrange(len(said))]

    async def _again(self, prompt: Prompt, said: Sequence[Rollout], agent: int, session: Session) -> Rollout:
        others = ", ".join(one.text for i, one in enumerate(said) if i != agent)
        [reply] = await session.draw(session.words("refine", prompt, others), role="refine")
        return reply


CHAINS: list[tuple[Refinement, ...]] = [
    (),
    (Greedy(),),
    (AdaptiveVote(),),
    (Debate(),),
    (Debate(), SelfConsistency(samples=3)),
    (AdaptiveVote(), Debate()),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the argument `chain` runs with each of these chains of refinements."""
    if "chain" in metafunc.fixturenames:
        names = ["-".join(type(one).__name__ for one in chain) or "plain" for chain in CHAINS]
        metafunc.parametrize("chain", CHAINS, ids=names)


@pytest.fixture
def methods() -> SimpleNamespace:
    """Refinements that are not in the package: `AdaptiveVote`, `Debate`; `surely_ahead` is when such a vote stops."""
    return SimpleNamespace(AdaptiveVote=AdaptiveVote, Debate=Debate, surely_ahead=surely_ahead)


@pytest.fixture
def problems() -> Callable[..., list[Prompt]]:
    """`problems(3, "1")`: problems q0, q1, q2 with this answer and with notes."""

    def make(n: int, answer: str = "1") -> list[Prompt]:
        notes = {"of": "REFERENCE"}
        asked = ([{"role": "user", "content": f"q{i}"}] for i in range(n))
        return [Prompt(prompt=one, answer=answer, key=f"q{i}", info=notes) for i, one in enumerate(asked)]

    return make


@pytest.fixture
def coin() -> Callable[[float], Rule]:
    """`coin(0.6)`: a rule of the engine `words` that says 1 so often, else 0."""
    return lambda p: lambda messages: {"so it is #1": p, "#0": 1 - p}


@pytest.fixture
def answers() -> Callable[..., dict[str, Any]]:
    """`answers(policy, problems)`: what came of each problem, by its key."""
    return lambda policy, asked: {
        one.prompt.key: (one.completion, one.reward, one.info) for one in policy.answer(asked)
    }
