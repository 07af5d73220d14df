"""Worlds: who plays sees its own talk only, rewards stay with the world, and held-out problems stay out of reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from selfimprove.episodes import Episode, Turn
from selfimprove.errors import RecipeError
from selfimprove.inference.rows import turns_of
from selfimprove.interfaces import Playing
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.problems import splits
from selfimprove.records import Message, Prompt


def user(text: str) -> Message:
    return {"role": "user", "content": text}


@dataclass
class Kuhn(Episode):
    """Kuhn poker. The deal is the problem's hidden answer; each player is told its own card."""

    problem: Prompt
    line: str = ""

    def step(self, said: Message | None) -> Turn:
        mine, theirs = str(self.problem.answer)
        if said is None:
            return Turn("first", [user(f"You hold {mine}.")])
        self.line += {"bet": "b", "pass": "p"}[said["content"]]
        high = 1 if "JQK".index(mine) > "JQK".index(theirs) else -1
        match self.line:
            case "p" | "b":
                return Turn("second", [user(f"You hold {theirs}. They {said['content']}.")])
            case "pb":
                return Turn("first", [user("They bet.")])
            case "bp" | "pbp":
                return self._end(1 if self.line == "bp" else -1)
            case _:
                return self._end(high if self.line == "pp" else 2 * high)

    def _end(self, won: int) -> Turn:
        return Turn(None, rewards={"first": float(won), "second": float(-won)})


def strategy(bet: dict[str, float]) -> Callable[..., dict[str, float]]:
    """Chances to bet by what a player was told last and its card."""

    def rule(messages: Sequence[Message]) -> dict[str, float]:
        card = messages[0]["content"].split("hold ")[1][0]
        p = bet.get(f"{card} {messages[-1]['content'].rpartition('They ')[2]}", bet.get(card, 0.0))
        return {text: share for text, share in (("bet", p), ("pass", 1 - p)) if share}

    return rule


EQUILIBRIUM = {"J": 0.0, "Q": 0.0, "K": 0.0, "J pass.": 1 / 3, "K pass.": 1.0, "K bet.": 1.0, "Q bet.": 1 / 3}


@dataclass
class Cards(ChainSums):
    def open(self, problem: Prompt) -> Episode:
        return Kuhn(problem)


DEALS = [a + b for a in "JQK" for b in "JQK" if a != b]


def deals(times: int) -> list[Prompt]:
    return [
        Prompt(prompt=[user(f"deal {i}")], answer=deal, key=f"deal {deal} {i}") for i in range(times) for deal in DEALS
    ]


@pytest.mark.long
def test_kuhn_poker_is_worth_what_theory_says_in_three_engine_calls(words: Any, chained: Callable) -> None:
    engine = words(rule=strategy(EQUILIBRIUM))
    played = chained(engine, task=Cards()).play(deals(600))
    worth = [float(one.said["first"].reward or 0.0) for one in played]
    mean = sum(worth) / len(worth)
    spread = math.sqrt(sum((x - mean) ** 2 for x in worth) / len(worth) / len(worth))
    assert abs(mean + 1 / 18) < 3 * spread and engine.calls == 3
    assert all(one.over and one.said["second"].reward == -one.said["first"].reward for one in played)


def test_each_player_sees_its_own_talk_and_the_transcript_says_who_spoke(words: Any, chained: Callable) -> None:
    sure = {"Q": 0.0, "K": 1.0, "K pass.": 1.0, "Q bet.": 1.0}  # pass, bet, call: the line is pbb
    engine = words(rule=strategy(sure))
    deal = Prompt(prompt=[user("deal")], answer="QK", key="deal")
    [one] = chained(engine, task=Cards()).play([deal])
    first, second = one.said["first"], one.said["second"]
    assert [(m["role"], m["content"]) for m in [*first.prompt.prompt, *first.completion]] == [
        *(("user", "You hold Q."), ("assistant", "pass"), ("user", "They bet."), ("assistant", "bet"))
    ]
    assert [m["content"] for m in [*second.prompt.prompt, *second.completion]] == ["You hold K. They pass.", "bet"]
    assert (first.reward, second.reward, first.info["earned"]) == (-2.0, 2.0, [0.0, -2.0])
    assert first.logprobs is None and second.logprobs is not None, "of two replies no one probability is known"
    asked = repr(engine.asked)
    assert "QK" not in asked and "-2.0" not in asked and "earned" not in asked


def test_an_earlier_reply_says_that_it_was_cut_off(words: Any, chained: Callable) -> None:
    sure = {"Q": 0.0, "K": 1.0, "K pass.": 1.0, "Q bet.": 1.0}
    engine = words(rule=strategy(sure), most=1)  # a word, and no room for the end
    [one] = chained(engine, task=Cards()).play([Prompt(prompt=[user("deal")], answer="QK", key="deal")])
    first = one.said["first"]
    assert [message.get("ended", True) for message in first.completion] == [False, True, True]
    assert first.truncated and [turn.ended for turn in turns_of(first)] == [False, False]
    assert "ended" not in repr([ask.prompt for ask in engine.asked])


def test_an_opponent_speaks_with_its_own_weights_and_is_not_paid_for(words: Any, chained: Callable) -> None:
    ours, theirs = words(rule=strategy(EQUILIBRIUM)), words(rule=lambda messages: {"pass": 1.0})
    policy, rival = chained(ours, task=Cards()), chained(theirs, task=Cards())
    played = policy.desk.play(policy, deals(1), Playing(opponents={"second": rival}))
    assert theirs.drawn == 6 and ours.drawn == 6
    assert all("spent" not in one.rollout.info for one in played)


def test_turns_that_run_out_leave_the_world_open(words: Any, chained: Callable) -> None:
    engine = words(rule=strategy(EQUILIBRIUM))
    policy = chained(engine, task=Cards())
    played = policy.desk.play(policy, deals(1), Playing(turns=1))
    assert not any(one.over for one in played) and all(one.rollout.reward is None for one in played)
    assert all(list(one.said) == ["first"] for one in played)


def test_episodes_of_one_problem_are_drawn_anew(words: Any, chained: Callable) -> None:
    engine = words(rule=lambda messages: {f"w{i}": 0.02 for i in range(50)})
    played = chained(engine).play([Prompt(prompt=[user("q")], key="q")], 20)
    assert len({one.rollout.text for one in played}) > 10


@dataclass
class Slow(Episode):
    """Counts itself; its steps are taken in threads."""

    problem: Prompt
    count: int = 0
    slow: ClassVar[bool] = True

    def step(self, said: Message | None) -> Turn:
        self.count += 1
        if self.count > 3:
            return Turn(None, rewards={"solve": 1.0})
        return Turn("solve", self.problem.prompt if said is None else [user(f"{self.problem.key} again")])


def test_slow_worlds_step_together_and_stay_apart(words: Any, chained: Callable, make_context: Callable) -> None:
    engine = words(rule=lambda messages: {messages[-1]["content"]: 1.0})
    context = make_context(policy=chained(engine))
    played = context.play([Prompt(prompt=[user(f"q{i}")], key=f"q{i}") for i in range(9)], world=Slow)
    assert [one.rollout.text for one in played] == [f"q{i} again" for i in range(9)]
    assert engine.calls == 3 and [len(one.drawn) for one in played] == [3] * 9
    assert all(one.rollout.reward == 1.0 for one in played)


@pytest.mark.parametrize("split", splits.SPLITS)
def test_a_data_stage_opens_no_episode_with_a_held_out_problem(
    words: Any, make_context: Callable, chained: Callable, split: str
) -> None:
    key = next(f"q{i}" for i in range(1000) if splits.split_of(f"q{i}") == split)
    problem, context = Prompt(prompt=[user("q")], key=key), make_context(policy=chained(words()))
    with splits.closed("evaluation", exam=True):
        assert context.play([problem])
    with splits.closed("acquisition"):
        if split not in splits.HELD_OUT:
            assert context.play([problem])
            return
        for play in (context.play, context.policy.play, context.policy.answer):
            with pytest.raises(
                RecipeError, match=f"of the step acquisition opened an episode with a problem of the {split} split"
            ):
                play([problem])
