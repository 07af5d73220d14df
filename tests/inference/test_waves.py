"""A result depends on the problem's own answers only: not on order, company, waves or a kill."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.inference import routines
from selfimprove.interfaces import Budget
from selfimprove.store import journal
from selfimprove.store.journal import Journal

MARK = "REFERENCE"


def test_order_and_company_change_nothing(
    words: Any, chained: Callable, chain: Any, problems: Callable, coin: Callable, answers: Callable
) -> None:
    asked = problems(12)
    whole = answers(chained(words(rule=coin(0.5)), *chain), asked)
    mixed = random.Random(1).sample(asked, len(asked))
    assert answers(chained(words(rule=coin(0.5)), *chain), mixed) == whole
    for one in asked[:3]:
        assert answers(chained(words(rule=coin(0.5)), *chain), [one]) == {one.key: whole[one.key]}
    assert answers(chained(words(rule=coin(0.5)), *chain), [*asked, asked[0]]) == whole


@pytest.mark.parametrize("tokens", [math.inf, 23])
def test_waves_are_speed_and_not_meaning(
    words: Any,
    chained: Callable,
    monkeypatch: pytest.MonkeyPatch,
    chain: Any,
    tokens: float,
    problems: Callable,
    coin: Callable,
    answers: Callable,
) -> None:
    whole = answers(chained(words(rule=coin(0.5)), *chain, budget=Budget(tokens=tokens)), problems(8))
    plain, dice = routines.Drive.__init__, random.Random(0)

    def some(self: Any, serve: Any) -> None:
        def served(waiting: list[Any]) -> Any:
            roots = sorted({strand.root for strand in waiting})
            now = set(dice.sample(roots, dice.randint(1, len(roots))))
            done, later = serve([strand for strand in waiting if strand.root in now])
            return dice.sample(done, len(done)), later + [strand for strand in waiting if strand.root not in now]

        plain(self, served)

    monkeypatch.setattr(routines.Drive, "__init__", some)
    for _ in range(4):
        again = chained(words(rule=coin(0.5)), *chain, budget=Budget(tokens=tokens))
        assert answers(again, dice.sample(problems(8), 8)) == whole


def test_a_kill_at_any_engine_call_changes_nothing_and_pays_for_nothing_twice(
    words: Any,
    power: Any,
    chained: Callable,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    chain: Any,
    problems: Callable,
    coin: Callable,
    answers: Callable,
) -> None:
    monkeypatch.setattr(journal, "SECONDS", 0.0)
    undisturbed = words(rule=coin(0.5))
    whole = answers(chained(Journal(tmp_path / "no", "s").before("engine", undisturbed), *chain), problems(3))
    for at in range(undisturbed.calls):
        file = tmp_path / str(at)
        first = words(rule=coin(0.5), die_at=at)
        with pytest.raises(power):
            answers(chained(Journal(file, "s").before("engine", first), *chain), problems(3))
        second = words(rule=coin(0.5))
        assert answers(chained(Journal(file, "s").before("engine", second), *chain), problems(3)) == whole
        assert first.drawn + second.drawn == undisturbed.drawn


def test_no_reference_and_no_note_reaches_an_engine_or_a_refinement(
    words: Any, chained: Callable, chain: Any, problems: Callable, coin: Callable
) -> None:
    engine = words(rule=coin(0.5))
    chained(engine, *chain).answer(problems(6, answer=MARK))
    assert engine.asked and MARK not in repr(engine.asked)
