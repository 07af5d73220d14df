"""Other weights in a session: copies for a moment, other policies of the run, and methods that see a whole set."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError, Refused
from selfimprove.interfaces import Policy, Refinement, Sampling, Session, Shape
from selfimprove.loop.loop import Runner
from selfimprove.loop.summary import verdict
from selfimprove.needs import Needs
from selfimprove.records import Checkpoint, Prompt, Rollout

ASKED = [Prompt(prompt=[{"role": "user", "content": f"q{i}"}], answer="1", key=f"q{i}") for i in range(5)]


def row(text: str) -> Rollout:
    return Rollout(prompt=ASKED[0], completion=[{"role": "assistant", "content": text}])


@dataclass
class Few:
    """Copies that are named by the rows that they are made from."""

    most: int = 2
    alive: list[str] = field(default_factory=list)
    seen: int = 0

    @contextmanager
    def trained(self, start: Checkpoint, rows: Sequence[Rollout], schedule: Any) -> Iterator[Checkpoint]:
        name = "+".join([start.path, *(one.text for one in rows)])
        self.alive.append(name)
        self.seen = max(self.seen, len(self.alive))
        try:
            yield Checkpoint(path=name)
        finally:
            self.alive.remove(name)


@dataclass
class Learner(Refinement):
    """Answers with a copy that learned the question, and a copy of that one, `deep` times."""

    deep: int = 1

    def needs(self) -> Needs:
        return Needs(engine=("copies",))

    def cost(self, given: Given) -> Cost:
        return given.attempt + Cost(copies=self.deep)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await self._learned(prompt, session, session.policy, self.deep)

    async def _learned(self, prompt: Prompt, session: Session, policy: Policy, deep: int) -> Rollout:
        if not deep:
            return (await session.draw(prompt, of=policy))[0]
        async with session.adapted([row(prompt.key)], None, of=policy) as copy:
            return await self._learned(prompt, session, copy, deep - 1)


@pytest.fixture
def with_copies(given_engine: Callable, chained: Callable) -> Callable[..., tuple[Policy, Few]]:
    """`with_copies(method, most=2)`: a policy whose answers are the paths of the weights that gave them."""

    def make(*chain: Refinement, most: int = 2, **desk: Any) -> tuple[Policy, Few]:
        engine, copies = given_engine(says=lambda ask: ask.checkpoint.path), Few(most)
        engine.can = frozenset({"copies", "shape"})
        policy = chained(engine, *chain, **desk)
        return Policy(**{**vars(policy), "copies": copies}), copies

    return make


def test_only_so_many_copies_are_there_at_a_time_and_all_are_gone_in_the_end(with_copies: Callable) -> None:
    policy, copies = with_copies(Learner())
    made = policy.answer(ASKED)
    assert [one.text for one in made] == [f"nowhere+q{i}" for i in range(5)]
    assert copies.seen == 2 and copies.alive == []
    assert made[0].info.get("spent", {}).get("copies", 1) == 1


def test_who_holds_the_last_copy_and_asks_for_another_is_refused(with_copies: Callable) -> None:
    policy, copies = with_copies(Learner(deep=2), most=2)
    assert policy.answer(ASKED[:1])[0].text == "nowhere+q0+q0"
    with pytest.raises(Refused, match="a routine that holds an adapted copy of the weights asks for another one"):
        policy.answer(ASKED)
    assert copies.alive == [], "what was refused leaves nothing"


@dataclass
class Together(Refinement):
    """Learns all questions of a set before it answers the first."""

    joint = True

    def needs(self) -> Needs:
        return Needs(engine=("copies",))

    def together_cost(self, given: Given) -> Cost:
        return Cost(copies=1) + given.draw(given.flow.records)

    @asynccontextmanager
    async def together(self, prompts: Sequence[Prompt], session: Session) -> AsyncIterator[Policy]:
        assert all(prompt.answer is None for prompt in prompts)
        said = await session.all([session.attempts(prompt) for prompt in prompts])
        async with session.adapted([row(one.prompt.key) for [one] in said], None) as copy:
            yield copy

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return (await session.attempts(prompt))[0]


def test_a_joint_method_works_once_around_a_set_whose_order_is_nothing_to_it(with_copies: Callable) -> None:
    policy, copies = with_copies(Together())
    made = {one.prompt.key: one.text for one in policy.answer(ASKED)}
    assert len(set(made.values())) == 1 and copies.alive == [] and copies.seen == 1
    known = sorted(ASKED, key=lambda one: one.blind().id)
    assert made["q0"] == "+".join(["nowhere", *(one.key for one in known)])
    mixed = random.Random(1).sample(ASKED, len(ASKED))
    assert {one.prompt.key: one.text for one in with_copies(Together())[0].answer(mixed)} == made


def test_a_joint_method_that_takes_more_than_it_declares_is_refused(with_copies: Callable) -> None:
    class Greedy(Together):
        def together_cost(self, given: Given) -> Cost:
            return Cost(copies=1) + given.draw(given.flow.records - 1)

    with pytest.raises(Refused, match="takes 5 completions .* and declares at most 4"):
        with_copies(Greedy())[0].answer(ASKED)


@dataclass(frozen=True)
class Contrast(Shape):
    beside = ("start",)

    def apply(self, logprobs: Mapping[str, Any]) -> Any:
        return logprobs[""] - logprobs["start"]


@dataclass
class Contrasted(Refinement):
    def needs(self) -> Needs:
        return Needs(engine=("shape",), policies=("start",))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return (await session.attempts(prompt, 1, Sampling(shape=Contrast())))[0]


def test_the_policies_of_a_shape_run_beside(with_copies: Callable, make_policy: Callable) -> None:
    first = make_policy(checkpoint=Checkpoint(path="first"))
    policy, _ = with_copies(Contrasted(), others={"start": first}.__getitem__)
    engine: Any = policy.engine
    engine.says = lambda ask: ask.beside["start"].path
    assert [one.text for one in policy.answer(ASKED)] == ["first"] * 5


@pytest.mark.long
def test_a_run_knows_its_start_its_champion_and_what_came_before(make_run: Callable) -> None:
    few = ("rounds=2", "probe_problems=0", "audit_problems=0", "sealed_problems=5", "control_problems=0")
    folder, log = make_run(*few, "gate_problems=40", "gate=always", start=0.5)
    run = Runner(folder, log)
    run.run()
    stored = run.stored
    others = stored.policy(2, 2, 0, log).desk.others  # type: ignore[attr-defined]
    now = stored.standing(2)
    paths = {name: others(name).checkpoint for name in ("start", "champion", "before")}
    assert now.incumbent == 1 and paths == {
        "start": stored.checkpoint(0),
        "champion": stored.checkpoint(now.champion),
        "before": stored.checkpoint(1),
    }
    assert not others("start").chain
    with pytest.raises(RecipeError, match="no policy of a run is called 'champoin'. Did you mean 'champion'"):
        others("champoin")
    exam = {"reads": 1, "champion_round": 0, "start": 0.5, "n": 5}
    assert "without answers" not in verdict(exam)
    assert "n = 5, adapted on the exam's questions, without answers)" in verdict({**exam, "adapted": True})
