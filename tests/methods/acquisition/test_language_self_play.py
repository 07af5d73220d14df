"""The challenger earns what the solver loses: rewards by hand, zero sums, quality for both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.inference.desk import Sessions
from selfimprove.methods.acquisition.language_self_play import LanguageSelfPlay
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.problems.splits import split_of

EASY, HARD, HELD = "4+1+1+1", "3+5+8+1", "2+2+2+3"


@pytest.fixture
def play(make_context: Callable, given_engine: Callable, worked: Callable) -> Callable[..., Any]:
    """`play([EASY, HARD], ...)`: the records of the two players; half of the answers to HARD are right."""

    def run(queries: list[str], judge: Callable[[str], str] = lambda text: "#y", **options: Any) -> Any:
        said, times = iter(queries), {EASY: 0, HARD: 0}

        def says(ask: Any) -> str:
            text = ask.prompt.prompt[-1]["content"]
            if text.startswith("P:"):
                return next(said)
            if text.startswith("J:"):
                return judge(text)
            key = text[2:-1]
            times[key] += 1
            digits = [int(one) for one in key.split("+")]
            return worked(digits, slip=0 if key == HARD and times[key] % 2 else None)

        context = make_context(given_engine(says=says))
        desk = Sessions(ChainSums(), others={"start": context.policy}.__getitem__)
        context = replace(context, policy=replace(context.policy, desk=desk))
        method = LanguageSelfPlay(**{"queries": len(queries), "answers_each": 2, "answers": True, **options})
        made: Any = method.acquire([], context)
        return [r for r in made if r.role == "solve"], [r for r in made if r.role == "propose"], context.log.metrics

    return run


def test_the_zero_sum_game_by_hand(play: Callable) -> None:
    assert split_of(EASY) == split_of(HARD) == "train" != split_of(HELD)
    solved, posed, metrics = play([EASY, HARD, HELD, "no problem", EASY], quality=0.0)
    assert [r.reward for r in solved] == [1.0, 1.0, 0.0, 1.0]
    assert metrics["language_self_play/value"] == 0.75  # of the two different queries
    assert [r.reward for r in posed] == [-0.25, 0.25, -1.0, -0.25]  # without the one that is held out
    assert sum(r.reward for r in posed[:2]) == 0.0
    assert all(r.rated for r in posed) and {split_of(r.prompt.key) for r in posed} == {"train"}
    assert metrics["language_self_play/held_out"] == 1


def test_quality_is_added_for_both_players(play: Callable) -> None:
    solved, posed, metrics = play([EASY, HARD], judge=lambda text: "#y" if EASY in text else "#n", quality=0.5)
    assert [r.reward for r in solved] == [1.5, 1.5, 0.0, 1.0]
    assert [r.reward for r in posed] == [-0.25 + 0.5, 0.25]
    assert metrics["language_self_play/quality"] == 0.5


def test_one_player_alone_and_mistakes(play: Callable) -> None:
    assert play([EASY, HARD], quality=0.0, train="solver")[1] == []
    assert play([EASY, HARD], quality=0.0, train="challenger")[0] == []
    with pytest.raises(RecipeError, match="train is 'all'"):
        LanguageSelfPlay(train="all")
