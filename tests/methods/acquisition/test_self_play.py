"""Games against oneself: each move is a record with what its side won, and play is measured exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.methods.acquisition.self_play import SelfPlay
from selfimprove.problems import kuhn
from selfimprove.problems.splits import split_of


def table(moves: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {f"K:{spot}|": said for spot, said in moves.items()}


@pytest.fixture
def played(make_context: Callable, make_engine: Callable) -> Callable[..., tuple[list[Any], Any]]:
    def run(default: str = "k", games: int = 60, **moves: dict[str, float]) -> tuple[list[Any], Any]:
        given = make_context(make_engine(table(moves), default))
        method = SelfPlay(games=games)
        made: Any = method.acquire([], given.held(method))
        return list(made), given

    return run


def test_what_the_sides_win_adds_up_to_nothing_and_moves_have_what_their_side_won(played: Callable) -> None:
    made, given = played()  # everybody checks: two moves, the higher card wins one chip
    assert [one.role for one in made] == ["first", "second"] * 60 and {one.reward for one in made} == {-1.0, 1.0}
    assert all(a.reward + b.reward == 0 for a, b in zip(made[::2], made[1::2], strict=True))
    assert {split_of(one.prompt.key) for one in made} == {"train"} and all(one.rated for one in made)
    asked = {one.prompt.prompt[-1]["content"] for one in made}
    assert asked == {f"K:{card}{history}|" for card in "JQK" for history in ("", "k")}
    assert given.log.metrics["self_play/forfeits"] == 0
    assert abs(given.log.metrics["self_play/first"]) < 0.4


def test_a_second_decision_is_drawn_after_the_first_one(played: Callable) -> None:
    made, _ = played(
        default="k", Jk={"b": 1.0}, Qk={"b": 1.0}, Kk={"b": 1.0}, Jkb={"f": 1.0}, Qkb={"c": 1.0}, Kkb={"c": 1.0}
    )
    assert len(made) == 180
    last = made[2]
    assert [message["role"] for message in last.prompt.prompt] == ["user", "assistant", "user"]
    card = last.prompt.prompt[0]["content"][2]
    assert last.prompt.prompt == kuhn.talk(card, "kb", False)
    for first, second, third in zip(made[::3], made[1::3], made[2::3], strict=True):
        assert first.reward == third.reward == -second.reward
        assert first.reward == -1 if third.text == "f" else abs(first.reward) == 2


def test_what_is_no_move_loses_two_chips_to_the_other_side(played: Callable) -> None:
    made, given = played(default="x", games=10)
    assert {one.reward for one in made} == {-2.0} and len(made) == 10
    assert given.log.metrics["self_play/forfeits"] == 1 and given.log.metrics["self_play/first"] == -2
    assert given.log.metrics["self_play/exploitability"] == pytest.approx(kuhn.exploitability(*_even()))


def _even() -> list[dict[str, dict[str, float]]]:
    return [{spot: dict.fromkeys(kuhn.moves(spot[1:]), 0.5) for spot in kuhn.places(player)} for player in (0, 1)]
