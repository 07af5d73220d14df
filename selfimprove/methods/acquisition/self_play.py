"""The model plays both sides of a zero-sum game against itself; what a side wins is the reward of its moves.

Idea: an opponent that is always as good as oneself never runs out of lessons, and a game needs neither problems nor
  anybody who marks answers.
Survey: environment interaction, games, section 2.3.
Paper: arXiv:2506.24119 (SPIRAL), Liu et al., 2025.
Algorithm:
  1. Deal `games` games. The same weights play both sides; each sees its own card and what was said.
  2. A game ends with a payoff for each side, and the two add up to 0. What is no move forfeits the game.
  3. Every move is a record: its prompt is what the side saw, its reward the side's payoff, its role the side.
  4. `optimization: role_advantage` turns payoffs into advantages over what each side wins on average.
Metrics: `self_play/exploitability`, what a perfect opponent would win against the moves as they were played, 0 for
  perfect play; a place that never came up counts as even chances. `self_play/first` is what the first side won.
Differs: the paper plays several games of TextArena with long replies, here Kuhn poker, which can be solved exactly; a
  move outside of the rules is a loss of two chips to the other side, so that the game stays zero-sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.inference.rewrites import open_key
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.needs import Needs
from selfimprove.problems import kuhn
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register

_LONGEST = 3
"""Most moves of a game."""


@register("self_play", paper="2506.24119")
@dataclass
class SelfPlay(Acquisition):
    consumes: ClassVar[Any] = None
    produces: ClassVar[Any] = Rollout
    games: int = bounded(512, 1)
    """Games of a round."""
    words: bool = False
    """Tell the players the rules in English; else in the short form that the tiny model was taught."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of the moves."""

    def needs(self) -> Needs:
        return Needs(roles=kuhn.PLAYERS)

    def cost(self, given: Given) -> Cost:
        return given.draw(_LONGEST * self.games) + Cost(calls=self.games * (_LONGEST + 1))

    def gives(self, given: Given) -> Flow:
        return Flow(_LONGEST * self.games, 12, self.games)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        random, deals = Random(context.seed), dict[str, str]()
        problems = list[Prompt]()
        for number in range(self.games):
            cards = "".join(random.sample(kuhn.CARDS, 2))
            problem = Prompt(prompt=kuhn.told(cards[0], "", self.words), key=open_key(f"deal {number} {context.seed}"))
            problems.append(problem)
            deals[problem.key] = cards
        sampling = Sampling(temperature=self.temperature)
        played = context.play(
            problems, world=lambda problem: kuhn.Game(deals[problem.key], self.words), turns=_LONGEST, sampling=sampling
        )
        made, seen = list[Record](), Counter[tuple[str, str]]()
        for problem, game in zip(problems, played, strict=True):
            history = ""
            for place, reply in enumerate(game.drawn):
                side = kuhn.PLAYERS[place % 2]
                card, move = deals[problem.key][place % 2], kuhn.move_in(reply.text, history)
                made.append(_record(reply, problem, side, game.said[side].reward))
                if move is not None:
                    seen[card + history, move] += 1
                    history += move
        self._report(played, seen, context)
        return made

    def _report(self, played: Sequence[Any], seen: Counter[tuple[str, str]], context: Context) -> None:
        sides = [self._frequencies(seen, player) for player in (0, 1)]
        won = [game.said["first"].reward or 0.0 for game in played]
        context.log.metric("self_play/exploitability", kuhn.exploitability(*sides))
        context.log.metric("self_play/first", sum(won) / max(1, len(won)))
        context.log.metric("self_play/forfeits", sum("forfeit" in game.noted for game in played) / max(1, len(played)))

    def _frequencies(self, seen: Counter[tuple[str, str]], player: int) -> dict[str, dict[str, float]]:
        """How often each move was made at each place; even chances where none was."""
        made = dict[str, dict[str, float]]()
        for spot in kuhn.places(player):
            counts = {move: seen[spot, move] for move in kuhn.moves(spot[1:])}
            total = sum(counts.values())
            made[spot] = {move: n / total if total else 0.5 for move, n in counts.items()}
        return made


def _record(reply: Rollout, problem: Prompt, side: str, payoff: float | None) -> Rollout:
    """A move after all that its side has heard and said."""
    asked = replace(problem, prompt=reply.prompt.prompt, info={"role": side})
    return replace(reply, prompt=asked, role=side, reward=payoff, rated=True, parents=(problem.id,))
