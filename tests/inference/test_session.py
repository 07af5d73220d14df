"""What a session gives: attempts of a stream, the chain before, marks in data stages; closed forms of what is voted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError, Refused
from selfimprove.interfaces import Context, Refinement, Sampling, Session
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.methods.task.addition import Addition
from selfimprove.methods.task.chain_sums import ChainSums, _Roles
from selfimprove.records import Message, Prompt, Rollout


def expected(p: float, samples: int, portion: int, sure: float, surely_ahead: Callable) -> tuple[float, float]:
    """The exact share of right answers and samples of the adaptive vote, by walking all counts."""
    states, right, drawn = {(0, 0, 0): 1.0}, 0.0, 0.0  # ones, zeros, which answer came first
    for total in range(portion, samples + 1, portion):
        after = dict[tuple[int, int, int], float]()
        for (ones, zeros, first), chance in states.items():
            for k in range(portion + 1):
                share = math.comb(portion, k) * p**k * (1 - p) ** (portion - k)
                led = {(first,): 1.0} if first else {(1,): k / portion, (2,): 1 - k / portion}
                for (lead,), part in led.items():
                    key = (ones + k, zeros + portion - k, lead)
                    after[key] = after.get(key, 0.0) + chance * share * part
        states = {}
        for (ones, zeros, lead), chance in after.items():
            if total == samples or surely_ahead(max(ones, zeros), min(ones, zeros)) >= sure:
                drawn += chance * total
                right += chance * (ones > zeros or (ones == zeros and lead == 1))
            else:
                states[ones, zeros, lead] = chance
    return right, drawn


@pytest.mark.parametrize("p", [0.6, 0.7])
def test_an_adaptive_vote_is_right_and_stops_as_often_as_the_closed_form_says(
    words: Any, chained: Callable, p: float, problems: Callable, coin: Callable, methods: Any
) -> None:
    engine, n = words(rule=coin(p)), 600
    made = chained(engine, methods.AdaptiveVote()).play(problems(n))
    right, drawn = expected(p, 16, 4, 0.95, methods.surely_ahead)
    assert abs(sum(one.rollout.reward for one in made) / n - right) < 3 * math.sqrt(right * (1 - right) / n)
    assert abs(engine.drawn / n - drawn) < 3 * 6 / math.sqrt(n)
    assert engine.calls == 4, "a wave is one call, whatever the number of problems"


def test_a_vote_that_is_never_sure_is_the_vote_of_one_call_sample_by_sample(
    words: Any, chained: Callable, problems: Callable, coin: Callable, methods: Any
) -> None:
    asked, one, two = problems(50), words(rule=coin(0.6)), words(rule=coin(0.6))
    chained(one, methods.AdaptiveVote(sure=2.0)).answer(asked)
    whole = chained(two, SelfConsistency(samples=16, temperature=1.0)).play(asked)
    assert (one.calls, two.calls, one.drawn) == (4, 1, two.drawn)
    firsts = {ask.first for ask in one.asked}
    assert firsts == {0, 4, 8, 12} and {ask.seed for ask in one.asked} == {ask.seed for ask in two.asked}
    assert all(played.rollout.info["spent"]["completions"] == 16 for played in whole)


def test_the_head_of_a_chain_draws_what_sample_draws(
    words: Any, chained: Callable, problems: Callable, coin: Callable
) -> None:
    asked = problems(20)
    plain = [group[0].completion for group in chained(words(rule=coin(0.5))).sample(asked)]
    assert [one.completion for one in chained(words(rule=coin(0.5))).answer(asked)] == plain
    sampled = chained(words(rule=coin(0.5))).sample(asked, 4)
    played = chained(words(rule=coin(0.5))).play(asked, 4)
    assert [one.rollout.completion for one in played] == [one.completion for group in sampled for one in group]


def test_a_chain_votes_over_what_stands_before(words: Any, chained: Callable, problems: Callable, methods: Any) -> None:
    engine = words(rule=lambda messages: {"#1": 0.6, "#0": 0.4} if messages[0]["content"][0] == "q" else {"#1": 1.0})
    made = chained(engine, methods.Debate(agents=2), SelfConsistency(samples=5)).play(problems(300))
    # A debate ends at once with 1 (.36) or 0 (.16), else in 1: it is right with .84, a vote of five of them with .9780.
    p = 1 - 0.4**2
    vote = sum(math.comb(5, k) * p**k * (1 - p) ** (5 - k) for k in (3, 4, 5))
    right = sum(one.rollout.reward for one in made) / 300
    assert abs(right - vote) < 3 * math.sqrt(vote * (1 - vote) / 300)
    assert engine.calls == 2, "five debates of 300 problems are two waves"


def test_the_mark_is_refused_while_a_problem_is_answered_and_there_in_a_data_stage(
    words: Any, chained: Callable, make_context: Callable, problems: Callable, coin: Callable
) -> None:
    @dataclass
    class Cheat(Refinement):
        def cost(self, given: Given) -> Cost:
            return 4 * given.attempt

        async def answer(self, prompt: Prompt, session: Session) -> Rollout:
            drawn = await session.attempts(prompt, 4)
            return max(drawn, key=lambda one: session.mark(one) or 0.0)

    with pytest.raises(Refused, match=r"session\.mark needs the reference answer"):
        chained(words(rule=coin(0.5)), Cheat()).answer(problems(2))

    async def marks(problem: Prompt, session: Session) -> list[float]:
        return [session.mark(one) or 0.0 for one in await session.attempts(problem, 4)]

    asked, engine = problems(40), words(rule=coin(0.75))
    context: Context = make_context(policy=chained(engine), verify=ChainSums().verify)
    made = context.run(marks, asked)
    assert abs(sum(sum(row) for row in made) / 160 - 0.75) < 3 * math.sqrt(0.75 * 0.25 / 160)
    assert "answer='1'" not in repr(engine.asked)


def test_facts_that_are_public_stay_and_change_no_id_where_there_are_none() -> None:
    bare = Prompt(prompt=[{"role": "user", "content": "q"}], answer="1", key="q")
    told = replace(bare, given={"level": 3})
    assert told.blind().given == {"level": 3} and told.blind().answer is None
    assert bare.id != told.id and replace(told, given={}).id == bare.id


def test_statistics_that_were_noted_are_not_worked_out_again(
    words: Any, chained: Callable, make_context: Callable, problems: Callable
) -> None:
    async def sure(problem: Prompt, session: Session) -> list[list[float]]:
        drawn = await session.attempts(problem, 2, Sampling())
        noted = [replace(one, noted={"entropy": [0.5]}) for one in drawn]
        return [*await session.logprobs_of(noted, "entropy"), *await session.logprobs_of(drawn)]

    engine = words(rule=lambda messages: {"#1": 1.0})
    made = make_context(policy=chained(engine)).run(sure, problems(3))
    assert made == [[[0.5], [0.5], [0.0], [0.0]]] * 3 and engine.calls == 2


def test_a_role_has_the_words_of_the_task_else_those_of_the_method(
    words: Any, chained: Callable, make_context: Callable
) -> None:
    """The table of who says what: usual roles, one of the task's own, one of the method's, and a lack of both."""

    class Planner(_Roles):
        def words(self, role: str, prompt: Prompt, parts: Any) -> Any:
            return [{"role": "user", "content": f"L:{prompt.key}{parts}"}] if role == "plan" else None

    class Planned(ChainSums):
        def roles(self) -> Any:
            return Planner(self)

    led: list[Message] = [{"role": "system", "content": "s"}, {"role": "user", "content": "{0} of {problem}"}]
    problem = Prompt(prompt=led, key="3+5")
    own = "Plan {0}, {problem}: {0} {1}{x}"

    async def said(item: str, session: Session) -> list[Any]:
        made = [
            session.words("judge", problem, "#8", otherwise=own),
            session.words("plan", problem, "a", otherwise=own),
            session.words("critique", problem, "a", "{problem}", otherwise=own),
        ]
        with pytest.raises(RecipeError, match="no words for the role 'critique', and neither has the method"):
            session.words("critique", problem, "a")
        return [[message["content"] for message in one.prompt] for one in made]

    policy = chained(words(), task=Planned())
    [made] = make_context(policy=policy).run(said, ["x"])
    filled = "Plan a, {0} of {problem}: a {problem}{x}"
    assert made == [["J:3+5=#8|"], ["L:3+5('a',)"], ["s", filled]]

    async def judged(item: str, session: Session) -> str:
        with pytest.raises(RecipeError, match="task addition has no role 'judge'"):
            session.words("judge", problem, "8")
        return session.words("judge", problem, "8", otherwise="{0}?").prompt[-1]["content"]

    assert make_context(policy=chained(words(), task=Addition())).run(judged, ["x"]) == ["8?"]
