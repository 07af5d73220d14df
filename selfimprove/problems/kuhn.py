"""Kuhn poker: three cards, a chip each, one bet; its exact values, and the game as a world with two players.

Player 1 checks (k) or bets (b). A bet is folded (f) or called (c); after a check player 2 checks or bets, and player 1
folds or calls a bet. Who folds loses a chip; else the higher card wins one chip, after a call two (Kuhn, 1950).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from selfimprove.episodes import Episode, Turn
from selfimprove.records import Message

CARDS = "JQK"
PLAYERS = ("first", "second")
WORDS = {"k": "check", "b": "bet", "f": "fold", "c": "call"}
FORFEIT = 2.0
"""Chips that a player loses who says what is no move; the other one wins them."""
VALUE = -1 / 18
"""What the first player wins in a game between perfect players."""
Strategy = Mapping[str, Mapping[str, float]]
"""What a player does: card and history -> move -> probability."""
_WORD = re.compile(r"\b(check|bet|fold|call)")
_LETTERS = {word: letter for letter, word in WORDS.items()}


def moves(history: str) -> str:
    """The moves of who is next; "" if the game is over."""
    return {"": "kb", "k": "kb", "b": "fc", "kb": "fc"}.get(history, "")


def payoff(cards: str, history: str) -> float:
    """What the first player wins at the end of a game.

    Args:
        cards: of the first and of the second player.
    """
    if history[-1] == "f":
        return 1.0 if history == "bf" else -1.0
    sign = 1.0 if CARDS.index(cards[0]) > CARDS.index(cards[1]) else -1.0
    return 2 * sign if history[-1] == "c" else sign


def places(player: int) -> list[str]:
    """Card and history of every decision of a player, 0 or 1."""
    return [card + history for card in CARDS for history in ("", "k", "b", "kb") if len(history) % 2 == player]


def value(first: Strategy, second: Strategy) -> float:
    """What the first player wins on average."""
    deals = list(itertools.permutations(CARDS, 2))
    return sum(_value("".join(cards), "", (first, second)) for cards in deals) / len(deals)


def _value(cards: str, history: str, both: tuple[Strategy, Strategy]) -> float:
    if not moves(history):
        return payoff(cards, history)
    player = len(history) % 2
    said = both[player][cards[player] + history]
    return sum(share * _value(cards, history + move, both) for move, share in said.items() if share)


@cache
def _pure(player: int) -> tuple[dict[str, dict[str, float]], ...]:
    """All strategies of a player without chance."""
    spots = places(player)
    choices = itertools.product(*(moves(spot[1:]) for spot in spots))
    return tuple({spot: {move: 1.0} for spot, move in zip(spots, chosen, strict=True)} for chosen in choices)


def exploitability(first: Strategy, second: Strategy) -> float:
    """What a perfect opponent wins against each of the two on average, above what is fair; 0 for perfect play."""
    against_second = max(value(one, second) for one in _pure(0))
    against_first = -min(value(first, one) for one in _pure(1))
    return (against_second + against_first) / 2


def told(card: str, history: str, words: bool) -> list[Message]:
    """What a player is told before a decision."""
    if not words:
        return [{"role": "user", "content": f"K:{card}{history}|"}]
    said = {
        "": "You are the first player. Check or bet?",
        "k": "You are the second player. The first player checks. Check or bet?",
        "b": "You are the second player. The first player bets. Fold or call?",
        "kb": "You are the first player. You checked, and the second player bets. Fold or call?",
    }
    rules = (
        "Kuhn poker. There are three cards: jack, queen and king. Each of two players puts in one chip and gets a "
        "card. A bet is one more chip. If nobody folds, the higher card wins."
    )
    name = {"J": "jack", "Q": "queen", "K": "king"}[card]
    text = f"{rules}\nYour card is the {name}. {said[history]} End your reply with that one word."
    return [{"role": "user", "content": text}]


def talk(card: str, history: str, words: bool) -> list[Message]:
    """All that a player was told and said before a decision."""
    if history != "kb":
        return told(card, history, words)
    said: Message = {"role": "assistant", "content": WORDS["k"] if words else "k"}
    return [*told(card, "", words), said, *told(card, history, words)]


def move_in(text: str, history: str) -> str | None:
    """The move that a reply says last; None if it says none that may be made."""
    bare = text.strip().lower()
    said = _WORD.findall(bare)
    move = bare if bare in WORDS else _LETTERS[said[-1]] if said else ""
    return move if move and move in moves(history) else None


@dataclass
class Game(Episode):
    """One game; what a player earns is what it wins, and the sum is 0."""

    cards: str
    words: bool = False
    history: str = ""

    def step(self, said: Message | None) -> Turn:
        if said is None:
            self.history = ""
            return self._turn()
        player = PLAYERS[len(self.history) % 2]
        move = move_in(said["content"], self.history)
        if move is None:
            other = PLAYERS[player == "first"]
            return Turn(None, rewards={player: -FORFEIT, other: FORFEIT}, noted={"forfeit": player})
        self.history += move
        if moves(self.history):
            return self._turn()
        won = payoff(self.cards, self.history)
        return Turn(None, rewards=dict(zip(PLAYERS, (won, -won), strict=True)), noted={"history": self.history})

    def _turn(self) -> Turn:
        player = len(self.history) % 2
        return Turn(PLAYERS[player], told(self.cards[player], self.history, self.words))
