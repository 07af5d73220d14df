"""Answers to a batch: what each request gets, whatever stands beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from selfimprove.interfaces import GREEDY
from selfimprove.methods.refinement.greedy import Greedy
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.serving.answering import Wanted, answer, draw_coming, joins, streams
from selfimprove.serving.requests import Asked, read

SUM = "S:3+5+8="
RIGHT, WRONG = "3+5=8;8+8=6#6", "#1"
TABLE = {SUM: {WRONG: 0.4, RIGHT: 0.6}}


def asked(**body: Any) -> Asked:
    return read(json.dumps({"messages": [{"role": "user", "content": SUM}], **body}).encode(), True, "m", 8, True)


def test_greedy_answers_and_plain_samples_of_a_batch_are_one_call_of_the_engine(
    make_engine: Any, make_policy: Any
) -> None:
    policy = make_policy(engine := make_engine(TABLE), Greedy())
    drawn = asked(model="m:samples", n=40, seed=3)
    made = answer(
        policy, [Wanted(asked(n=2)), Wanted(drawn), Wanted(asked(messages=[{"role": "user", "content": "?"}]))]
    )
    assert [one.text for one in made[0]] == [RIGHT, RIGHT] and [one.text for one in made[2]] == ["?"]
    assert {one.text for one in made[1]} == {RIGHT, WRONG}  # 40 samples have both
    assert [one.text for one in answer(policy, [Wanted(drawn)])[0]] == [one.text for one in made[1]]  # the same alone
    new = [tuple(one.text for one in answer(policy, [Wanted(asked(model="m:samples", n=40))])[0]) for _ in range(2)]
    assert new[0] != new[1]  # without a seed they are new each time
    assert all(prompt.answer is None for prompt in engine.seen)


def test_refined_answers_are_those_of_an_exam_and_do_not_depend_on_the_batch(
    make_engine: Any, make_policy: Any, make_prompt: Any
) -> None:
    policy = make_policy(make_engine(TABLE), SelfConsistency(samples=5))
    [[one]] = answer(policy, [Wanted(asked())])
    [examined] = policy.answer([make_prompt("3+5+8")])
    assert one.text == RIGHT == examined.text and one.info["spent"]["completions"] == 5
    assert one.reward is None  # nobody marks it
    other = asked(messages=[{"role": "user", "content": "?"}], n=2)
    [both, [again]] = answer(policy, [Wanted(other), Wanted(asked())])
    assert [x.text for x in both] == ["?", "?"] and again.info == one.info
    assert not streams(policy, asked())


def test_a_limit_below_the_engines_holds_for_every_completion(make_engine: Any, make_policy: Any) -> None:
    class Longer(make_engine):
        def longest(self) -> int:
            return 8

    policy = make_policy(engine := Longer(TABLE), SelfConsistency(samples=3))
    answer(policy, [Wanted(asked(max_tokens=2)), Wanted(asked())])
    assert sorted({call[1].max_completion_length or 0 for call in engine.calls}) == [0, 2]
    policy = make_policy(engine := Longer(TABLE), Greedy())
    answer(policy, [Wanted(asked(max_tokens=2))])
    [(_, sampling, _)] = engine.calls
    assert sampling.max_completion_length == 2 and sampling.temperature == GREEDY.temperature


@pytest.mark.parametrize(("chain", "expected"), [((Greedy(),), True), ((SelfConsistency(),), False)])
def test_tokens_can_be_heard_of_a_single_attempt(
    make_engine: Any, make_policy: Any, chain: Any, expected: bool
) -> None:
    class Streaming(make_engine):
        can = frozenset({"stream"})

    policy = make_policy(Streaming(), *chain)
    assert streams(policy, asked()) is expected and streams(policy, asked(model="m:samples"))
    assert not streams(make_policy(make_engine(), *chain), asked(model="m:samples"))


def test_answers_that_come_one_by_one_are_those_of_a_batch(make_engine: Any, make_policy: Any) -> None:
    class Joining(make_engine):
        can = frozenset({"join"})

        def draw_coming(self, coming: Any, ended: Any, log: Any) -> None:
            count = 0
            while asks := coming():
                for number, group in reversed([*enumerate(self.draw(asks, log), count)]):  # the last one ends first
                    ended(number, group)
                count += len(asks)

    policy = make_policy(Joining(TABLE), Greedy())
    some = [Wanted(asked(n=2)), Wanted(asked(model="m:samples", n=3, seed=3)), Wanted(asked(model="m:samples", seed=4))]
    waves, found = [some[:2], some[2:], []], dict[int, Any]()
    draw_coming(policy, lambda: waves.pop(0), found.__setitem__)
    assert [[x.text for x in found[i]] for i in range(3)] == [[x.text for x in g] for g in answer(policy, some)]
    assert joins(policy, some[0]) and not joins(make_policy(make_engine(TABLE), Greedy()), some[0])
    assert not joins(make_policy(Joining(TABLE), SelfConsistency()), some[0])
