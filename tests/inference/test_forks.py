"""Completions that are grown in parts, and others that branch off where the model was unsure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from selfimprove.costs import Cost, Given
from selfimprove.inference.forks import Grown, forked, grown, unsure
from selfimprove.interfaces import Refinement, Session
from selfimprove.records import Message, Prompt, Rollout


def part(text: str, tokens: int) -> Grown:
    asked = Prompt(prompt=[{"role": "user", "content": "?"}])
    return Grown(Rollout(prompt=asked, completion=[{"role": "assistant", "content": text}]), tokens)


def test_it_branches_where_the_parts_of_highest_mean_entropy_begin() -> None:
    parts = [part("ab", 2), part("abcd", 4), part("abcde", 5)]
    entropies = [1.0, 0.0, 0.2, 0.2, 0.9]  # means 0.5, 0.2 and 0.9
    assert unsure(parts, entropies, 1) == [parts[1]]
    assert unsure(parts, entropies, 2) == [None, parts[1]]  # the first part begins with the problem itself
    assert unsure(parts, entropies, 9) == [None, parts[0], parts[1]]
    assert unsure(parts, entropies, 0) == []


@dataclass
class Forking(Refinement):
    """Grows a completion by two tokens at a time, then branches at the beginning and after the first part."""

    texts: list[list[str]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    def cost(self, given: Given) -> Cost:
        return given.draw(20)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        parts = await grown(prompt, session, 2, 1.0)
        others = await forked(prompt, session, [None, parts[0]], 2, 1.0)
        self.texts = [[one.rollout.text for one in parts], [one.text for one in others]]
        self.tokens = [one.tokens for one in parts]
        return parts[-1].rollout


def said(messages: Sequence[Message]) -> Mapping[str, float]:
    return {"a;b#4": 1.0}


def test_parts_add_up_and_forks_are_whole_completions(table_model: ModuleType) -> None:
    method = Forking()
    table_model.answered(method, 1, table_model.TableModel(table=said))
    assert method.texts == [["a;", "a;b#", "a;b#4"], ["a;b#4"] * 4]
    assert method.tokens == [2, 4, 6]  # the end is a token too
