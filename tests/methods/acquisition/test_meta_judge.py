"""Judgements of judgements: the strengths are those of the logistic model, and a taste for a place cancels out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.acquisition.meta_judge import Battle, MetaJudge, _weighted, elo
from selfimprove.methods.reward.judge import Judge
from selfimprove.methods.task.chain_sums import ChainSums

GOOD, BAD = "3+5=8;8+8=6#6", "3+5=9;9+8=7#7"


def asked(attempt: str) -> str:
    return f"J:3+5+8={attempt}|"


# ---- strengths ---------------------------------------------------------------------------------------------------
def test_the_strength_of_two_players_by_hand() -> None:
    """Three wins of four: e_0 - e_1 = ln 3 without a penalty."""
    one, other = elo(2, [(0, 1, 3.0), (1, 0, 1.0)], ridge=1e-9)
    assert one - other == pytest.approx(math.log(3), abs=1e-3) and one + other == pytest.approx(0, abs=1e-6)


def test_noiseless_battles_rank_the_players_and_stay_finite() -> None:
    battles = [(i, j, 1.0) for i in range(4) for j in range(i + 1, 4)]
    strengths = elo(4, battles, ridge=0.01)
    assert strengths == sorted(strengths, reverse=True) and all(abs(e) < 20 for e in strengths)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12), st.permutations(range(4)))
def test_names_do_not_matter(pairs: list[tuple[int, int]], names: list[int]) -> None:
    battles = [(i, j, 1.0) for i, j in pairs if i != j]
    plain = elo(4, battles, 0.01)
    renamed = elo(4, [(names[i], names[j], w) for i, j, w in battles], 0.01)
    assert [renamed[name] for name in names] == pytest.approx(plain, abs=1e-4)
    assert sum(plain) == pytest.approx(0, abs=1e-4)


def test_who_wins_by_place_alone_is_as_strong_as_the_other() -> None:
    """The first always wins: no wins in second place, so a win in first place counts nothing."""
    battles: list[Battle] = [(0, 1, True), (1, 0, True)]
    assert elo(2, _weighted(battles, 2, 2), 0.01) == pytest.approx([0.0, 0.0])


def test_a_win_against_the_taste_for_a_place_counts_more() -> None:
    # first wins 3 of 4: a win in first place weighs 1/4, one in second place 3/4
    battles: list[Battle] = [(0, 1, True), (1, 0, True), (0, 2, True), (1, 2, False)]
    assert _weighted(battles, 3, 4) == [(0, 1, 0.25), (1, 0, 0.25), (0, 2, 0.25), (2, 1, 0.75)]


# ---- a round -----------------------------------------------------------------------------------------------------
@pytest.fixture
def court(make_context: Callable, make_engine: Callable, make_rollout: Callable) -> Callable[..., Any]:
    """`court(answers, prefer)`: a round on one good and one bad attempt; `prefer(first, second)` is the meta-judge."""

    def run(
        answers: dict[str, dict[str, float]], prefer: Callable[[str, str], str], **options: Any
    ) -> tuple[list, Any]:
        engine = make_engine(dict(answers), "lost")
        plain = engine.draw

        def draw(asks: Any, log: Any) -> Any:
            for ask in asks:
                said = ask.prompt.prompt[-1]["content"]
                if said.startswith("Two judgements"):
                    first, second = (said.split(f"<judgement_{i}>\n")[1].split("\n</")[0] for i in (1, 2))
                    engine.answers[said] = {prefer(first, second): 1.0}
            return plain(asks, log)

        engine.draw = draw
        context = make_context(engine, round=options.pop("round", 1), judge=options.pop("judge", None))
        attempts = [make_rollout(GOOD), make_rollout(GOOD), make_rollout(BAD)]
        made = list(MetaJudge(**{"samples": 12, "temperature": 1.0, **options}).acquire(attempts, context))
        assert made[:3] == attempts
        return made[3:], context

    return run


SAID = {asked(GOOD): {"sure#y": 9.0, "so#y": 1.0}, asked(BAD): {"no#n": 1.0, "yes#y": 1.0, "hm": 1.0}}


def test_the_attempt_that_verdicts_differ_most_on_is_chosen_and_the_better_judgement_wins(court: Callable) -> None:
    made, context = court(SAID, lambda first, second: "#1" if first.endswith("#n") else "#2")
    assert {r.prompt.prompt[-1]["content"] for r in made} == {asked(BAD)}
    strengths = {r.text: r.reward for r in made}
    assert set(strengths) == {"no#n", "yes#y"} and strengths["no#n"] > 0 > strengths["yes#y"]
    assert all(r.prompt.answer is None and r.prompt.key == "3+5+8" for r in made)
    assert context.log.metrics["meta_judge/first_place_wins"] == 0.5


def test_the_judgements_answer_the_question_that_selects_the_data(court: Callable, make_rollout: Callable) -> None:
    """With a rubric of points as reward, the rubric is asked and trained, not the task's verdict."""
    rubric = Judge(scale="points")
    [good, bad] = (
        rubric.question(make_rollout(text), ChainSums().roles()).prompt[0]["content"] for text in (GOOD, BAD)
    )
    said = {good: {"Fine. Score: 5": 1.0}, bad: {"Good. Score: 4": 1.0, "Bad. Score: 1": 1.0, "#y": 1.0}}
    made, _ = court(said, lambda first, second: "#1" if first.startswith("Bad") else "#2", judge=rubric)
    assert {r.prompt.prompt[-1]["content"] for r in made} == {bad}
    strengths = {r.text: r.reward for r in made}
    assert set(strengths) == {"Good. Score: 4", "Bad. Score: 1"} and strengths["Bad. Score: 1"] > 0


def test_a_meta_judge_that_looks_at_the_place_prefers_nothing(court: Callable) -> None:
    made, context = court(SAID, lambda first, second: "#1")
    assert [r.reward for r in made] == pytest.approx([0.0, 0.0])
    assert context.log.metrics["meta_judge/first_place_wins"] == 1.0


def test_one_that_decides_nothing_makes_no_data(court: Callable) -> None:
    assert court(SAID, lambda first, second: "both are fine")[0] == []


def test_verdicts_that_agree_are_not_compared(court: Callable) -> None:
    made, context = court({asked(GOOD): {"#y": 1.0}, asked(BAD): {"#n": 1.0}}, lambda first, second: "#1")
    assert made == [] and len(context.policy.engine.calls) == 1


def test_the_judge_is_trained_in_the_first_rounds_only(court: Callable) -> None:
    def prefer(first: str, second: str) -> str:
        return "#1" if first.endswith("#n") else "#2"

    assert court(SAID, prefer, round=2)[0] and not court(SAID, prefer, round=3)[0]
    assert court(SAID, prefer, round=3, until=None)[0]
