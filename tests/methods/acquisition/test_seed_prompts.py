"""The task's own problems: as many as asked for, fresh each round or always those of the first."""

from __future__ import annotations

from collections.abc import Callable

from selfimprove.methods.acquisition.seed_prompts import SeedPrompts


def test_it_asks_for_this_rounds_problems(make_context: Callable) -> None:
    asked = []
    context = make_context(round=3)
    plain = context.problems(5, 3)
    made = SeedPrompts(problems=5).acquire(
        [], make_context(round=3, problems=lambda n, number: asked.append((n, number)) or plain)
    )
    assert asked == [(5, 3)]
    assert made == plain


def test_fresh_problems_differ_from_round_to_round(make_context: Callable) -> None:
    one, two = (SeedPrompts(problems=50).acquire([], make_context(round=number)) for number in (1, 2))
    assert len(one) == len(two) == 50
    assert len({p.key for p in one} & {p.key for p in two}) < 10


def test_without_fresh_every_round_has_the_problems_of_the_first(make_context: Callable) -> None:
    first, *later = (
        [p.key for p in SeedPrompts(problems=20, fresh=False).acquire([], make_context(round=number))]
        for number in (1, 2, 5)
    )
    assert later == [first, first]


def test_null_takes_all_that_there_are(make_context: Callable, make_prompt: Callable) -> None:
    asked = []
    context = make_context(problems=lambda n, number: asked.append(n) or [make_prompt("1+2")])
    assert len(SeedPrompts(problems=None).acquire([], context)) == 1
    assert asked == [None]
