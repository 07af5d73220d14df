"""Samples that are dealt in random orders, within a budget."""

from __future__ import annotations

from typing import Any

import pytest

from selfimprove.inference.pool import ORDERS, Beyond, Hand, Pool, Sample
from selfimprove.interfaces import GREEDY, Budget, Sampling, Spent
from selfimprove.records import Prompt, Rollout

WARM = Sampling(temperature=0.7)


def sample(text: str, tokens: int) -> Sample:
    asked = Prompt(prompt=[{"role": "user", "content": "q"}], key="q")
    logprobs = {"sum": -float(tokens), "count": tokens}
    made = Rollout(
        prompt=asked,
        completion=[{"role": "assistant", "content": text}],
        logprobs=logprobs,
        noted={"entropy": [0.5] * tokens},
    )
    return Sample(made, text, 1.0)


OWN = [sample("a", 2), sample("b", 3), sample("c", 4)]


def hand(order: int = 0, **budget: Any) -> Hand:
    prompt = OWN[0].rollout.prompt
    pool = Pool([prompt], samples={WARM: [OWN], GREEDY: [OWN[:1]]})
    return Hand(pool, 0, order, Budget(**budget))


def test_the_next_samples_follow_those_before_and_no_more_are_there() -> None:
    dealt = hand()
    assert [one.text for one in dealt.take(2, WARM)] == ["a", "b"]
    assert [one.text for one in dealt.take(1, WARM)] == ["c"] and dealt.tokens == 9 and dealt.chance
    with pytest.raises(Beyond, match="more than the 3 stored samples"):
        dealt.take(1, WARM)
    assert [one.text for one in hand().take(3, GREEDY)] == ["a"] * 3 and not hand().chance


@pytest.mark.parametrize(
    ("budget", "texts", "tokens", "cut"),
    [
        ({"tokens": 4}, ["a", ""], 4, 1),  # two tokens of the second are paid for: nothing can be read in it
        ({"tokens": 5}, ["a", "b"], 5, 1),
        ({"completions": 1}, ["a"], 2, 1),
        ({"tokens": 9}, ["a", "b", "c"], 9, 0),
    ],
)
def test_a_budget_ends_a_hand(budget: dict[str, int], texts: list[str], tokens: int, cut: int) -> None:
    dealt = hand(**budget)
    got = dealt.take(3, WARM)
    assert [one.text for one in got] == texts and (dealt.tokens, dealt.cut) == (tokens, cut)
    if texts[-1] == "":
        assert got[-1].truncated and got[-1].logprobs == {"sum": -2.0, "count": 2}
        assert got[-1].noted == {"entropy": [0.5, 0.5]}


def test_a_spent_budget_pays_for_nothing() -> None:
    dealt = hand(completions=1)
    dealt.take(1, WARM)
    with pytest.raises(Spent):
        dealt.take(1, WARM)


def test_all_methods_get_the_same_orders_and_each_is_one_of_all_samples() -> None:
    pool = hand().pool
    orders = [tuple(pool.order(0, number, 3)) for number in range(ORDERS)]
    assert orders[0] == (0, 1, 2) and {tuple(sorted(one)) for one in orders} == {(0, 1, 2)}
    assert len(set(orders)) == 6 and orders == [tuple(hand().pool.order(0, number, 3)) for number in range(ORDERS)]


def test_samples_that_were_drawn_otherwise_are_not_taken() -> None:
    pool = Pool([OWN[0].rollout.prompt], samples={Sampling(temperature=0.7, note=("entropy",), tops=5): [OWN]})
    assert pool.find(WARM) == [OWN] and pool.find(Sampling(temperature=0.7, tops=3)) == [OWN]
    for other in (GREEDY, Sampling(temperature=0.7, note=("self_certainty",)), Sampling(temperature=0.7, tops=9)):
        with pytest.raises(Beyond) as wanted:
            pool.find(other)
        assert wanted.value.sampling == other
