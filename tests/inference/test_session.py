"""Methods that ask more than once: closed forms, and results that depend on nothing but the problem's own answers."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.costs import Cost, Given
from selfimprove.episodes import Tool
from selfimprove.errors import Refused
from selfimprove.inference import routines
from selfimprove.interfaces import Budget, Context, Refinement, Sampling, Session
from selfimprove.methods.refinement.greedy import Greedy
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.store import journal
from selfimprove.store.journal import Journal

MARK = "REFERENCE"


def problems(n: int, answer: str = "1") -> list[Prompt]:
    return [
        Prompt(prompt=[{"role": "user", "content": f"q{i}"}], answer=answer, key=f"q{i}", info={"of": MARK})
        for i in range(n)
    ]


def coin(p: float) -> Callable[..., dict[str, float]]:
    return lambda messages: {"so it is #1": p, "#0": 1 - p}


def surely_ahead(first: int, second: int) -> float:
    """P(p > 1/2) under Beta(first + 1, second + 1)."""
    n = first + second + 1
    return sum(math.comb(n, j) for j in range(first + 1)) / 2**n


@dataclass
class AdaptiveVote(Refinement):
    """Adaptive consistency: draws by portions until the leader surely leads."""

    samples: int = 16
    portion: int = 4
    sure: float = 0.95

    def cost(self, given: Given) -> Cost:
        return self.samples * given.attempt

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        drawn: list[Rollout] = []
        while len(drawn) < self.samples:
            drawn += await session.attempts(prompt, min(self.portion, self.samples - len(drawn)))
            votes = Counter(map(session.answer_of, drawn)).most_common(2)
            session.best = next(one for one in drawn if session.answer_of(one) == votes[0][0])
            (_, first), (_, second) = [*votes, ("", 0)][:2]
            if surely_ahead(first, second) >= self.sure:
                break
        assert session.best is not None
        return session.best


@dataclass
class Debate(Refinement):
    """Answers see each other and are given again, all agents of a turn at once."""

    agents: int = 3
    turns: int = 2

    def needs(self) -> Needs:
        return Needs(roles=("refine",))

    def cost(self, given: Given) -> Cost:
        return self.agents * (given.attempt + given.draw(self.turns - 1))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        said = await session.attempts(prompt, self.agents)
        for _ in range(self.turns - 1):
            if len(set(map(session.answer_of, said))) == 1:
                break
            said = await session.all([self._again(prompt, said, i, session) for i in range(len(said))])
        return said[session.random.randrange(len(said))]

    async def _again(self, prompt: Prompt, said: Sequence[Rollout], agent: int, session: Session) -> Rollout:
        others = ", ".join(one.text for i, one in enumerate(said) if i != agent)
        [reply] = await session.draw(session.words("refine", prompt, others), role="refine")
        return reply


CHAINS = [
    (),
    (Greedy(),),
    (AdaptiveVote(),),
    (Debate(),),
    (Debate(), SelfConsistency(samples=3)),
    (AdaptiveVote(), Debate()),
]
chains = pytest.mark.parametrize(
    "chain", CHAINS, ids=lambda chain: "-".join(type(one).__name__ for one in chain) or "plain"
)


def answers(policy: Any, asked: Sequence[Prompt]) -> dict[str, Any]:
    return {one.prompt.key: (one.completion, one.reward, one.info) for one in policy.answer(asked)}


# ---- what was not declared ---------------------------------------------------------------------------------------
@dataclass
class Liar(Refinement):
    """Does one thing that it declares only if it is honest."""

    deed: str
    honest: bool = False

    def needs(self) -> Needs:
        said = {
            "stop": Needs(engine=("stop",)),
            "note": Needs(engine=("tops",), statistics=("entropy",)),
            "logprobs": Needs(statistics=("entropy",)),
            "role": Needs(roles=("judge",)),
            "other": Needs(policies=("start",)),
            "tool": Needs(tools=("abacus",)),
        }
        return said.get(self.deed, Needs()) if self.honest else Needs()

    def cost(self, given: Given) -> Cost:
        true = {
            "twice": 2 * given.attempt,
            "long": given.attempt + given.draw(1, 64),
            "logprobs": given.attempt + Cost(scored=1),
            "role": given.attempt + given.draw(),
            "tool": given.attempt + Cost(calls=1),
        }
        return true.get(self.deed, given.attempt) if self.honest else given.attempt

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = {"stop": Sampling(stop=(".",)), "note": Sampling(note=("entropy",))}.get(self.deed, Sampling())
        [first] = await session.attempts(prompt, 1, sampling)
        match self.deed:
            case "twice":
                await session.attempts(prompt)
            case "long":
                await session.draw(prompt, 1, Sampling(max_completion_length=64))
            case "logprobs":
                await session.logprobs_of([first], "entropy")
            case "role":
                await session.draw(session.words("judge", prompt, "1"), role="judge")
            case "other":
                session.other("start")
            case "tool":
                await session.call("abacus", "1+1")
        return first


class Counted(ChainSums):
    """The same task with a tool."""

    def tools(self, problem: Prompt) -> Any:
        return {"abacus": Abacus()}


class Abacus(Tool):
    def call(self, text: str) -> str:
        return "2"


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("stop", "uses the engine's 'stop' and does not declare it: its needs() must return Needs(engine=('stop',))"),
        ("note", "uses the engine's 'tops'"),
        ("logprobs", "uses the statistic 'entropy'"),
        ("role", "uses the role 'judge'"),
        ("other", "uses the policy 'start'"),
        ("tool", "uses the tool 'abacus'"),
        ("twice", "takes 2 completions for one problem and declares at most 1: its cost(given) must return"),
        ("long", "takes 2 completions"),
    ],
)
def test_a_refinement_is_refused_what_it_does_not_declare(deed: str, said: str, words: Any, chained: Callable) -> None:
    engine = words(rule=lambda messages: {"a b c": 1.0})
    engine.can = frozenset({"stop", "logprobs", "tops"})
    for chain in ((Liar(deed),), (Liar(deed), SelfConsistency(samples=2))):
        with pytest.raises(Refused) as caught:
            chained(engine, *chain, task=Counted()).answer(problems(2))
        assert str(caught.value).startswith(f"Liar {said}")  # not what stands around it in the chain
    honest = chained(engine, Liar(deed, honest=True), task=Counted())
    assert len(replace(honest, desk=replace(honest.desk, others=lambda name: honest)).answer(problems(2))) == 2


def test_a_method_that_says_too_few_tokens_is_refused(words: Any, chained: Callable) -> None:
    @dataclass
    class Terse(Refinement):
        def cost(self, given: Given) -> Cost:
            return given.draw(1, 2)

        async def answer(self, prompt: Prompt, session: Session) -> Rollout:
            return (await session.attempts(prompt))[0]

    engine = words(rule=lambda messages: {"a b c": 1.0})
    with pytest.raises(Refused, match="Terse takes 4 tokens for one problem and declares at most 2"):
        chained(engine, Terse()).answer(problems(1))


def test_a_data_method_is_held_to_its_needs_too(words: Any, chained: Callable, make_context: Callable) -> None:
    policy = chained(words(rule=lambda messages: {"a": 1.0}))
    given = make_context(policy=policy).held(Liar("stop", honest=True))
    assert given.policy.sample(problems(1), sampling=Sampling(stop=(".",)))
    with pytest.raises(Refused, match="Liar uses the role 'hint'"):
        given.policy.sample(problems(1), role="hint")
    with pytest.raises(Refused, match="Liar uses the statistic 'logprob'"):
        given.policy.logprobs_of([])
    with pytest.raises(Refused, match="Liar uses the engine's 'copies'"), given.policy.adapted([], None):
        pass


# ---- closed forms ------------------------------------------------------------------------------------------------
def expected(p: float, samples: int, portion: int, sure: float) -> tuple[float, float]:
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
    words: Any, chained: Callable, p: float
) -> None:
    engine, n = words(rule=coin(p)), 600
    made = chained(engine, AdaptiveVote()).play(problems(n))
    right, drawn = expected(p, 16, 4, 0.95)
    assert abs(sum(one.rollout.reward for one in made) / n - right) < 3 * math.sqrt(right * (1 - right) / n)
    assert abs(engine.drawn / n - drawn) < 3 * 6 / math.sqrt(n)
    assert engine.calls == 4, "a wave is one call, whatever the number of problems"


def test_a_vote_that_is_never_sure_is_the_vote_of_one_call_sample_by_sample(words: Any, chained: Callable) -> None:
    asked, one, two = problems(50), words(rule=coin(0.6)), words(rule=coin(0.6))
    chained(one, AdaptiveVote(sure=2.0)).answer(asked)
    whole = chained(two, SelfConsistency(samples=16, temperature=1.0)).play(asked)
    assert (one.calls, two.calls, one.drawn) == (4, 1, two.drawn)
    firsts = {ask.first for ask in one.asked}
    assert firsts == {0, 4, 8, 12} and {ask.seed for ask in one.asked} == {ask.seed for ask in two.asked}
    assert all(played.rollout.info["spent"]["completions"] == 16 for played in whole)


def test_the_head_of_a_chain_draws_what_sample_draws(words: Any, chained: Callable) -> None:
    asked = problems(20)
    plain = [group[0].completion for group in chained(words(rule=coin(0.5))).sample(asked)]
    assert [one.completion for one in chained(words(rule=coin(0.5))).answer(asked)] == plain
    sampled = chained(words(rule=coin(0.5))).sample(asked, 4)
    played = chained(words(rule=coin(0.5))).play(asked, 4)
    assert [one.rollout.completion for one in played] == [one.completion for group in sampled for one in group]


def test_a_chain_votes_over_what_stands_before(words: Any, chained: Callable) -> None:
    engine = words(rule=lambda messages: {"#1": 0.6, "#0": 0.4} if messages[0]["content"][0] == "q" else {"#1": 1.0})
    made = chained(engine, Debate(agents=2), SelfConsistency(samples=5)).play(problems(300))
    # A debate ends at once with 1 (.36) or 0 (.16), else in 1: it is right with .84, a vote of five of them with .9780.
    p = 1 - 0.4**2
    vote = sum(math.comb(5, k) * p**k * (1 - p) ** (5 - k) for k in (3, 4, 5))
    right = sum(one.rollout.reward for one in made) / 300
    assert abs(right - vote) < 3 * math.sqrt(vote * (1 - vote) / 300)
    assert engine.calls == 2, "five debates of 300 problems are two waves"


# ---- nothing but the problem's own answers counts ------------------------------------------------------------------
@chains
def test_order_and_company_change_nothing(words: Any, chained: Callable, chain: Any) -> None:
    asked = problems(12)
    whole = answers(chained(words(rule=coin(0.5)), *chain), asked)
    mixed = random.Random(1).sample(asked, len(asked))
    assert answers(chained(words(rule=coin(0.5)), *chain), mixed) == whole
    for one in asked[:3]:
        assert answers(chained(words(rule=coin(0.5)), *chain), [one]) == {one.key: whole[one.key]}
    assert answers(chained(words(rule=coin(0.5)), *chain), [*asked, asked[0]]) == whole


@chains
@pytest.mark.parametrize("tokens", [math.inf, 23])
def test_waves_are_speed_and_not_meaning(
    words: Any, chained: Callable, monkeypatch: pytest.MonkeyPatch, chain: Any, tokens: float
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


@chains
def test_a_kill_at_any_engine_call_changes_nothing_and_pays_for_nothing_twice(
    words: Any, power: Any, chained: Callable, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, chain: Any
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


@chains
@given(tokens=st.integers(0, 100), completions=st.sampled_from([1, 3, math.inf]))
@settings(max_examples=25)
def test_a_budget_is_never_overrun_and_leaves_an_answer(
    words: Any, chained: Callable, chain: Any, tokens: int, completions: float
) -> None:
    engine = words(rule=coin(0.5))
    budget = Budget(tokens=tokens, completions=completions)
    made = chained(engine, *chain, budget=budget).answer(problems(4))
    for rollout in made:
        spent = rollout.info["spent"]
        assert spent.get("tokens", 0) <= tokens and spent.get("completions", 0) <= completions
        assert bool(spent.get("completions")) == (tokens >= 1)
        if not tokens:
            assert rollout.text == "" and rollout.truncated


@chains
def test_no_reference_and_no_note_reaches_an_engine_or_a_refinement(words: Any, chained: Callable, chain: Any) -> None:
    engine = words(rule=coin(0.5))
    chained(engine, *chain).answer(problems(6, answer=MARK))
    assert engine.asked and MARK not in repr(engine.asked)


# ---- rules ---------------------------------------------------------------------------------------------------------
def test_a_foreign_await_is_refused(words: Any, chained: Callable) -> None:
    @dataclass
    class Sleeper(Refinement):
        async def answer(self, prompt: Prompt, session: Session) -> Rollout:
            await asyncio.sleep(0.1)
            return (await session.attempts(prompt))[0]

    with pytest.raises((Refused, RuntimeError), match="no asyncio here|no running event loop"):
        chained(words(), Sleeper()).answer(problems(1))

    class Foreign:
        def __await__(self):
            yield "something"

    @dataclass
    class Stranger(Refinement):
        async def answer(self, prompt: Prompt, session: Session) -> Rollout:
            await Foreign()
            return (await session.attempts(prompt))[0]

    with pytest.raises(Refused, match="a routine can await its session only, not str: there is no asyncio here"):
        chained(words(), Stranger()).answer(problems(1))


def test_the_mark_is_refused_while_a_problem_is_answered_and_there_in_a_data_stage(
    words: Any, chained: Callable, make_context: Callable
) -> None:
    @dataclass
    class Cheat(Refinement):
        def cost(self, given: Given) -> Cost:
            return 4 * given.attempt

        async def answer(self, prompt: Prompt, session: Session) -> Rollout:
            drawn = await session.attempts(prompt, 4)
            return max(drawn, key=lambda one: session.mark(one) or 0.0)

    with pytest.raises(Refused, match=r"session\.mark is for fit"):
        chained(words(rule=coin(0.5)), Cheat()).answer(problems(2))

    async def marks(problem: Prompt, session: Session) -> list[float]:
        return [session.mark(one) or 0.0 for one in await session.attempts(problem, 4)]

    asked, engine = problems(40), words(rule=coin(0.75))
    context: Context = make_context(policy=chained(engine), verify=ChainSums().verify)
    made = context.run(marks, asked)
    assert abs(sum(sum(row) for row in made) / 160 - 0.75) < 3 * math.sqrt(0.75 * 0.25 / 160)
    assert "answer='1'" not in repr(engine.asked)


def test_equal_items_draw_anew_and_alike_ones_as_one_call_of_sample(
    words: Any, chained: Callable, make_context: Callable
) -> None:
    async def text(item: Any, session: Session) -> str:
        return (await session.draw(Prompt(prompt=[{"role": "user", "content": "q"}])))[0].text

    many = {f"w{i}": 1 / 50 for i in range(50)}
    context: Context = make_context(policy=chained(words(rule=lambda messages: many)))
    made = context.run(text, [0] * 30)
    assert len(set(made)) > 10 and context.run(text, [0] * 30) != made
    engine = words(rule=lambda messages: many)
    policy = chained(engine)
    assert len(set(make_context(policy=policy).run(text, [1, 2, 3], alike=True))) == 1
    sampled = chained(words(rule=lambda messages: many)).sample([Prompt(prompt=[{"role": "user", "content": "q"}])])
    assert engine.asked[0].seed == policy.seed_at(0) and sampled[0][0].text in many


def test_a_routine_cannot_start_a_run(words: Any, chained: Callable, make_context: Callable) -> None:
    async def inner(item: Any, session: Session) -> int:
        return item

    async def outer(item: Any, session: Session) -> list[int]:
        return context.run(inner, [1, 2])

    context: Context = make_context(policy=chained(words()))
    assert context.run(inner, [1, 2]) == [1, 2]
    with pytest.raises(Refused, match=r"await session\.all instead"):
        context.run(outer, [0])
    assert context.run(inner, [3]) == [3]


def test_an_error_of_a_child_reaches_its_parent(words: Any, chained: Callable, make_context: Callable) -> None:
    async def child(session: Session) -> None:
        await session.draw(problems(1)[0])
        raise ValueError("broken")

    async def parent(item: int, session: Session) -> str:
        try:
            await session.all([child(session), child(session)])
        except ValueError as error:
            return f"caught {error}"
        return ""

    async def lost(item: int, session: Session) -> None:
        await child(session)

    context: Context = make_context(policy=chained(words()))
    assert context.run(parent, [0, 1]) == ["caught broken"] * 2
    with pytest.raises(ValueError, match="broken") as caught:
        context.run(lost, [0])
    assert "after 1 requests" in str(caught.value.__notes__)


def test_facts_that_are_public_stay_and_change_no_id_where_there_are_none() -> None:
    bare = Prompt(prompt=[{"role": "user", "content": "q"}], answer="1", key="q")
    told = replace(bare, given={"level": 3})
    assert told.blind().given == {"level": 3} and told.blind().answer is None
    assert bare.id != told.id and replace(told, given={}).id == bare.id


def test_statistics_that_were_noted_are_not_worked_out_again(
    words: Any, chained: Callable, make_context: Callable
) -> None:
    async def sure(problem: Prompt, session: Session) -> list[list[float]]:
        drawn = await session.attempts(problem, 2, Sampling())
        noted = [replace(one, noted={"entropy": [0.5]}) for one in drawn]
        return [*await session.logprobs_of(noted, "entropy"), *await session.logprobs_of(drawn)]

    engine = words(rule=lambda messages: {"#1": 1.0})
    made = make_context(policy=chained(engine)).run(sure, problems(3))
    assert made == [[[0.5], [0.5], [0.0], [0.0]]] * 3 and engine.calls == 2
