"""Kuhn poker: its rules, its exact values, and that what the two sides win adds up to 0."""

from __future__ import annotations

import itertools

import pytest

from selfimprove.problems import kuhn

EVEN = [{spot: dict.fromkeys(kuhn.moves(spot[1:]), 0.5) for spot in kuhn.places(player)} for player in (0, 1)]


def perfect(alpha: float) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """The equilibria of the game (Kuhn, 1950), alpha from 0 to 1/3."""
    bets = {"J": alpha, "Q": 0.0, "K": 3 * alpha}
    calls = {"J": 0.0, "Q": alpha + 1 / 3, "K": 1.0}
    first = {card: {"b": bets[card], "k": 1 - bets[card]} for card in kuhn.CARDS}
    first |= {f"{card}kb": {"c": calls[card], "f": 1 - calls[card]} for card in kuhn.CARDS}
    second = {f"{card}b": {"c": share, "f": 1 - share} for card, share in (("J", 0.0), ("Q", 1 / 3), ("K", 1.0))}
    second |= {f"{card}k": {"b": share, "k": 1 - share} for card, share in (("J", 1 / 3), ("Q", 0.0), ("K", 1.0))}
    return first, second


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1 / 3])
def test_perfect_play_is_worth_minus_an_eighteenth_and_cannot_be_exploited(alpha: float) -> None:
    first, second = perfect(alpha)
    assert kuhn.value(first, second) == pytest.approx(kuhn.VALUE)
    assert kuhn.exploitability(first, second) == pytest.approx(0, abs=1e-12)
    assert kuhn.exploitability(*EVEN) > 0.4 and kuhn.exploitability(first, EVEN[1]) > 0.1


@pytest.mark.parametrize(
    ("cards", "history", "won"),
    [("KJ", "kk", 1), ("JK", "kk", -1), ("QK", "bf", 1), ("KQ", "kbf", -1), ("KQ", "bc", 2), ("JQ", "kbc", -2)],
)
def test_payoffs_by_hand(cards: str, history: str, won: float) -> None:
    assert kuhn.payoff(cards, history) == won and not kuhn.moves(history)


def test_a_game_hides_the_other_card_and_adds_up_to_nothing() -> None:
    for cards, words in itertools.product(itertools.permutations(kuhn.CARDS, 2), (True, False)):
        for line in ("kk", "kbf", "kbc", "bf", "bc", "x", "kx"):
            game = kuhn.Game("".join(cards), words)
            turn, seen = game.step(None), list[str]()
            for place, move in enumerate(line):
                assert turn.player == kuhn.PLAYERS[place % 2]
                seen.append(turn.news[-1]["content"])
                said = kuhn.WORDS.get(move, "pass") if words else move
                turn = game.step({"role": "assistant", "content": f"I think: {said}" if words else said})
            assert turn.player is None and sum(turn.rewards.values()) == 0
            if line in ("x", "kx"):
                assert turn.rewards[kuhn.PLAYERS[len(line) - 1]] == -kuhn.FORFEIT
            elif not words:
                assert turn.rewards["first"] == kuhn.payoff("".join(cards), line)
                assert seen[0] == f"K:{cards[0]}|" and seen[1] == f"K:{cards[1]}{line[0]}|"


@pytest.mark.parametrize(
    ("text", "history", "move"),
    [
        ("k", "", "k"),
        (" B\n", "k", "b"),
        ("I check, no: I bet.", "", "b"),
        ("call", "", None),
        ("", "b", None),
        ("fold", "kb", "f"),
    ],
)
def test_the_last_move_of_a_reply_counts(text: str, history: str, move: str | None) -> None:
    assert kuhn.move_in(text, history) == move
