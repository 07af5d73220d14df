"""What solutions are worth: by a judge, by votes, by their own probability, by a verifier or by a reward."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.worth import UNKNOWN, Worth, sureness, voted
from selfimprove.interfaces import Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Message, Prompt, Rollout


def rollout(text: str, total: float = 0.0, count: int = 1) -> Rollout:
    asked = Prompt(prompt=[{"role": "user", "content": "q0"}], key="q0")
    said: Any = {"role": "assistant", "content": text}
    return Rollout(prompt=asked, completion=[said], logprobs={"sum": total, "count": count})


SOLUTIONS = [rollout("#4", -2.0, 2), rollout("#4", -4.0, 2), rollout("#5", -0.0, 2), rollout("?", -2.0, 2)]


@dataclass
class Valuing(Refinement):
    worth: Worth
    known: Sequence[Rollout] = ()
    found: list[float] = field(default_factory=list)

    def needs(self) -> Needs:
        return self.worth.needs()

    def cost(self, given: Given) -> Cost:
        return given.attempt + self.worth.cost(given, len(SOLUTIONS))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        self.found += await self.worth.of(prompt, SOLUTIONS, session, self.known)
        return (await session.attempts(prompt))[0]


def table(messages: Sequence[Message]) -> Mapping[str, float]:
    """The judge finds #4 right, #5 wrong, and of what has no answer it says nothing that can be read."""
    asked = messages[-1]["content"]
    if not asked.startswith("judge"):
        return {"#4": 0.25, "#5": 0.5, "?": 0.25}
    return {"#yes": 1.0} if asked.endswith("#4") else {"#no": 1.0} if asked.endswith("#5") else {"?": 1.0}


@pytest.mark.parametrize(
    ("way", "known", "found"),
    [
        ("judge", [], [1.0, 1.0, 0.0, UNKNOWN]),
        ("votes", [], [0.5, 0.5, 0.25, 0.0]),
        ("votes", [rollout("#5")] * 4, [0.25, 0.25, 0.625, 0.0]),
        ("model", [], [math.exp(-1), math.exp(-2), 1.0, math.exp(-1)]),
        ("verifier", [], [math.exp(-1), math.exp(-2), 1.0, math.exp(-1)]),  # there is none: the model's own
        ("reward.size", [], [2.0, 2.0, 2.0, UNKNOWN]),
    ],
)
def test_each_way(table_model: ModuleType, way: str, known: list[Rollout], found: list[float]) -> None:
    def size(by: str, groups: Any, policy: Any) -> list[list[float | None]]:
        return [[None if one.text == "?" else float(len(one.text)) for one in group] for group in groups]

    method = Valuing(Worth(way), known)
    table_model.answered(method, 1, table, rewards=size)
    assert method.found == pytest.approx(found)


def test_a_verifier_is_other_weights(table_model: ModuleType) -> None:
    engine = table_model.TableModel(table=table, tables={"weights/verifier": {"q0": {"#4": 0.5, "#5": 0.5}}})
    method = Valuing(Worth("verifier"))
    table_model.answered(method, 1, engine, states=[{"verifier": "verifier"}])
    four, also, five, other = method.found
    assert four == also == pytest.approx(five) == pytest.approx(0.5 ** (1 / 3)) and other < 0.1


def test_several_judgements_are_a_mean(table_model: ModuleType) -> None:
    method = Valuing(Worth("judge", 8))
    table_model.answered(method, 1, lambda messages: {"#yes": 0.5, "#no": 0.5})
    assert all((8 * one).is_integer() for one in method.found) and 0 < sum(method.found) < 4


def test_what_values_take_and_need() -> None:
    given = Given(length=10)
    assert Worth("judge", 3).cost(given, 2) == Cost(completions=6, tokens=60)
    assert Worth("verifier").cost(given, 2) == Cost(scored=2) and Worth("votes").cost(given, 2) == Cost()
    asked = Given(length=10, rate=lambda flow: Cost(completions=flow.records))
    assert Worth("reward.judge").cost(asked, 5) == Cost(completions=5)
    assert Worth("judge").needs().roles == ("judge",) and Worth("votes").needs() == Needs()
    with pytest.raises(RecipeError, match="refinement.tpo.value takes judge, votes, model, verifier or reward.NAME"):
        Worth("reward.").check("tpo.value")


def test_the_heaviest_answer_and_the_heaviest_of_its_solutions(table_model: ModuleType) -> None:
    picked = list[str]()

    class Picking(Refinement):
        async def answer(self, prompt: Prompt, session: Session) -> Rollout:
            pool = list(zip(SOLUTIONS, (0.2, 0.4, 0.5, 9.0), strict=True))
            picked.append(repr([pool.index(one) for one in pool if one[0] is voted(pool, session)]))
            picked.append(voted(pool[3:], session).text)
            return (await session.attempts(prompt))[0]

    table_model.answered(Picking(), 1, table)
    assert picked == ["[1]", "?"], "0.6 against 0.5; what has no answer wins only where nothing has one"
    assert sureness(rollout("x", -4.0, 2)) == math.exp(-2)
    assert sureness(Rollout(prompt=SOLUTIONS[0].prompt, completion=SOLUTIONS[0].completion)) == 0.0
