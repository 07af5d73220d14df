"""Decisions in Kuhn poker against an opponent of chance: the exam of a loop that plays against itself.

Idea: a game has no right answers to learn from, but what a decision wins against a fixed opponent can be counted.
Survey: environment interaction, games, section 2.3.
Paper: none; the game is Kuhn's, 1950, as in SPIRAL, arXiv:2506.24119.
Algorithm:
  1. A problem is a situation: the player's card and what was said so far, as `K:Qb|` (with `words` in English), with
     the opponent's card and its next moves, which are drawn beforehand and not shown.
  2. The reply is a move: check, bet, fold or call, or k, b, f, c. The opponent then moves at random; if the player has
     to decide again, it calls with a queen or a king and folds a jack.
  3. The mark is what the player wins, from -2 to 2, as a number from 0 to 1; a reply without a legal move is 0.
  4. The key is the situation, the hidden cards and moves, and a number; its sha256 decides the split.
Differs: nothing to compare with. Many problems look alike, because only twelve situations exist: a gain is one in the
  mean over deals, and a model has twelve things to decide.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Roles, Task
from selfimprove.problems import kuhn, splits
from selfimprove.problems.splits import split_of
from selfimprove.records import Message, Prompt, Rollout
from selfimprove.registry import register

SPOTS = (*kuhn.places(0), *kuhn.places(1))


@register("kuhn_poker", paper="2506.24119")
@dataclass
class KuhnPoker(Task):
    words: bool = False
    """Tell the situation and the rules in English; else in a short form."""

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        splits.check(split)
        n = self.unbounded if n is None else n
        return list(islice(self._drawn(split, seed), part[0] * n, (part[0] + 1) * n))

    def verify(self, prompt: Prompt, text: str) -> float | None:
        if (read := _read(prompt.key)) is None:
            return None
        situation, other, tape = read
        card, history = situation[0], situation[1:]
        move = kuhn.move_in(text, history)
        return 0.0 if move is None else (_won(card, history + move, other, tape) + 2) / 4

    def answer_of(self, text: str) -> str | None:
        found = [move for history in ("", "b") if (move := kuhn.move_in(text, history))]
        return kuhn.WORDS[found[0]] if found else None

    def roles(self) -> Roles:
        return _Roles(self)

    def demonstrations(self, role: str, n: int, seed: int) -> list[Rollout]:
        """n legal moves, each drawn at random: they teach the form, and nothing of the game."""
        if role != "solve":
            raise RecipeError(f"task kuhn_poker has no role {role!r}; it has solve")
        source = random.Random(f"{seed}:{role}")
        made = list[Rollout]()
        for prompt in islice(self._drawn("train", seed), n):
            move = source.choice(kuhn.moves(prompt.key.partition("/")[0][1:]))
            text = kuhn.WORDS[move] if self.words else move
            made.append(Rollout(prompt=prompt, completion=[{"role": "assistant", "content": text}]))
        return made

    def _drawn(self, split: str, seed: int) -> Iterator[Prompt]:
        """Problems of a split without end: all situations in turn."""
        source, number = random.Random(f"{seed}:{split}"), 0
        while True:
            situation = SPOTS[number % len(SPOTS)]
            other = source.choice(kuhn.CARDS.replace(situation[0], ""))
            key = f"{situation}/{other}/{source.getrandbits(2)}/{source.getrandbits(40)}"
            if split_of(key) == split:
                number += 1
                yield Prompt(prompt=kuhn.talk(situation[0], situation[1:], self.words), key=key)


def _read(key: str) -> tuple[str, str, int] | None:
    """The situation, the other card, and the tape of the opponent's moves; None for a prompt of another kind."""
    found = re.fullmatch(r"([JQK](?:k|b|kb)?)/([JQK])/([0-3])/\d+", key)
    return (found[1], found[2], int(found[3])) if found else None


def _won(card: str, history: str, other: str, tape: int) -> float:
    """What the player wins who has just moved."""
    player = (len(history) - 1) % 2
    while kuhn.moves(history):
        if len(history) % 2 == player:
            history += "f" if card == "J" else "c"
        else:
            history += kuhn.moves(history)[tape & 1]
            tape >>= 1
    cards = (card, other) if player == 0 else (other, card)
    won = kuhn.payoff("".join(cards), history)
    return won if player == 0 else -won


@dataclass
class _Roles:
    """The words of the game; nobody proposes, judges or refines here."""

    task: KuhnPoker

    def solve(self, problem: str) -> list[Message]:
        return kuhn.told(problem[0], problem[1:], self.task.words)

    def hint(self, prompt: Prompt, answer: str) -> list[Message]:
        raise RecipeError("task kuhn_poker has no hints: no move is the right one")

    def propose(self, level: int | None) -> list[Message]:
        raise RecipeError("task kuhn_poker cannot propose problems: the cards are dealt")

    def judge(self, prompt: Prompt, attempt: str) -> list[Message]:
        raise RecipeError("task kuhn_poker has no judge: a payoff marks a move")

    def refine(self, prompt: Prompt, attempt: str) -> list[Message]:
        raise RecipeError("task kuhn_poker has no second attempts: a move is made")

    def words(self, role: str, prompt: Prompt, parts: Sequence[str]) -> list[Message] | None:
        return None

    def read_judgement(self, text: str) -> float | None:
        return None

    def read_proposal(self, text: str) -> Prompt | None:
        return None

    def solution(self, prompt: Prompt) -> str | None:
        return None
