"""Proposer and solver: what a problem is worth, which problems are kept for whom, and that no held-out one slips in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove import registry
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Ask
from selfimprove.loop.loop import Runner
from selfimprove.loop.steps import rewarded
from selfimprove.methods.acquisition import propose
from selfimprove.methods.acquisition.propose import VALUES, Propose
from selfimprove.methods.task.jsonl import JsonlTask
from selfimprove.problems.splits import split_of
from selfimprove.records import Prompt, Rollout, read_records

N = 8


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("azr_learn", [0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0]),
        ("rzero_unc", [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0]),
        ("drzero_diff", [0, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7, 0]),
        ("mae", [1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0]),
    ],
)
def test_the_values_by_hand(value: str, at: list[float]) -> None:
    assert [VALUES[value](k / N, N) for k in range(N + 1)] == pytest.approx(at)


@pytest.mark.parametrize(("p", "value"), [(0.0, 0.04), (0.1, 0.28), (0.2, 0.67), (0.3, 0.92), (0.5, 1.0)])
def test_the_bell_of_spice(p: float, value: float) -> None:
    assert VALUES["spice_var"](p, N) == pytest.approx(value, abs=0.005)


@given(st.integers(2, 40), st.sampled_from(sorted(VALUES)), st.data())
def test_a_value_is_a_share_and_the_two_that_ask_for_doubt_are_symmetric(n: int, name: str, data: Any) -> None:
    p = data.draw(st.integers(0, n)) / n
    assert -1e-9 <= VALUES[name](p, n) <= 1 + 1e-9
    if name in ("rzero_unc", "spice_var"):
        assert VALUES[name](p, n) == pytest.approx(VALUES[name](1 - p, n)) and VALUES[name](p, n) <= VALUES[name](
            0.5, n
        )


# ---- a proposer of known habits and a solver of known skill --------------------------------------------------------
EASY, HALF, HARD, JUNK = "4+1+1+1", "3+5+8+1", "9+9+9+9", "no problem"
HELD = "2+2+2+3"
SOLVED = {EASY: 1.0, HALF: 0.5, HARD: 0.0}


@pytest.fixture
def play(make_context: Callable, make_engine: Callable, task: Any, worked: Callable) -> Callable[..., Any]:
    """`play(train="both")`: the records of one round, its context, and the engine."""
    assert [split_of(key) for key in (EASY, HALF, HARD)] == ["train"] * 3 and split_of(HELD) != "train"

    def run(
        proposals: Sequence[str] = (EASY, HALF, HARD, JUNK, HELD), **options: Any
    ) -> tuple[list[Rollout], Any, Any]:
        answers: dict[str, dict[str, float]] = {"P:|": dict.fromkeys(proposals, 1.0)}
        for key, right in SOLVED.items():
            digits = [int(digit) for digit in key.split("+")]
            wrong = {f"#{digit}": (1 - right) / 9 for digit in range(10) if str(digit) != str(sum(digits) % 10)}
            answers[f"S:{key}="] = {worked(digits): right, **wrong}
        engine = make_engine(answers)
        context = make_context(engine, round=3)
        return list(Propose(**{"problems": 100, "samples": 20, **options}).acquire([], context)), context, engine

    return run


def by_role(made: Sequence[Rollout]) -> tuple[list[Rollout], list[Rollout]]:
    """The solver's records and the proposer's."""
    proposer = [r for r in made if r.prompt.prompt[-1]["content"].startswith("P:")]
    return [r for r in made if r not in proposer], proposer


def test_the_solver_is_trained_on_problems_of_the_band_only(play: Callable) -> None:
    made, context, _ = play()
    solver, _ = by_role(made)
    assert {r.prompt.key for r in solver} == {HALF} and len(solver) == 20
    assert context.log.metrics["propose/in_band"] == 1 and context.log.metrics["propose/distinct"] == 3
    everything, _ = by_role(play(low=0.0, high=1.0)[0])
    assert {r.prompt.key for r in everything} == {EASY, HALF, HARD} and len(everything) == 60


def test_the_proposer_is_paid_for_doubt_and_fined_for_nonsense(play: Callable) -> None:
    _, proposer = by_role(play(repetition=0.0, rate="reward", answers=True)[0])
    paid = {rollout.text: rollout.reward for rollout in proposer}
    assert set(paid) == {EASY, HALF, HARD, JUNK}
    assert (paid[EASY], paid[HARD], paid[JUNK]) == (0.0, 0.0, -1.0)
    assert paid[HALF] is not None and paid[HALF] > 0.6


def test_repeating_one_s_own_problem_costs_its_share(play: Callable) -> None:
    _, alone = by_role(play(proposals=[HALF], train="proposer")[0])
    assert {r.reward for r in alone} == {0.0}  # a hundred times the same: the share is 1
    free = by_role(play(repetition=0.0)[0])[1]
    fined = by_role(play()[0])[1]
    share = Counter(r.text for r in fined)[HALF] / len(fined)
    [before], [after] = ({r.reward for r in rollouts if r.text == HALF} for rollouts in (free, fined))
    assert after == pytest.approx(before - share)


def test_agreement_looks_at_no_answer_and_reward_does(play: Callable) -> None:
    """The solver never agrees with itself on HARD (nine wrong answers), and always does on EASY."""
    made = by_role(play(rate="agreement", low=0.0, high=0.3)[0])[0]
    assert {r.prompt.key for r in made} == {HARD} and {r.prompt.answer for r in made} == {None}
    told = by_role(play(rate="reward", answers=True, low=0.0, high=0.0)[0])[0]
    assert {(r.prompt.key, r.prompt.answer) for r in told} == {(HARD, "6")}


def test_without_answers_the_verifier_cannot_score(play: Callable) -> None:
    made, context, _ = play(rate="reward", low=0.0, high=1.0)
    assert [r for r in made if r.text != JUNK and r.reward is not None] == []
    assert rewarded(made, context) == made  # nor is a proposal judged as if it were an answer
    assert all(r.rated for r in made)


@pytest.mark.parametrize("train", ["solver", "proposer", "both"])
def test_who_is_trained(play: Callable, train: str) -> None:
    solver, proposer = by_role(play(train=train)[0])
    assert bool(solver) == (train != "proposer") and bool(proposer) == (train != "solver")


def test_a_held_out_problem_is_neither_solved_nor_rewarded(play: Callable) -> None:
    made, context, engine = play(low=0.0, high=1.0)
    assert context.log.metrics["propose/held_out"] > 0
    assert HELD not in {r.text for r in made} | {r.prompt.key for r in made}
    assert f"S:{HELD}=" not in {p.prompt[-1]["content"] for p in engine.seen}
    assert {split_of(r.prompt.key) for r in made} == {"train"}  # also the proposer's own prompt: the runner keeps it


@pytest.mark.runs
def test_the_runner_drops_a_held_out_problem_whoever_lets_it_through(make_run: Callable, monkeypatch: Any) -> None:
    monkeypatch.setattr(propose, "split_of", lambda key: "train")  # a proposer without a check of its own
    table = {"P:|": {HELD: 1.0, HALF: 1.0}, f"S:{HELD}=": {"#7": 0.6, "#8": 0.4}, f"S:{HALF}=": {"#7": 0.6, "#8": 0.4}}
    changes = ("acquisition=propose", "acquisition.propose.problems=20", "acquisition.propose.train=solver")
    folder, log = make_run(*changes, "reward=random")
    student = registry.find("engine", "student").method
    usual = student.table

    def said(self: Any, prompt: Prompt, checkpoint: Any) -> dict[str, float]:
        return table.get(prompt.prompt[-1]["content"]) or usual(self, prompt, checkpoint)

    monkeypatch.setattr(student, "table", said)
    Runner(folder, log).run()
    made = read_records(folder.root / "round_001/acquisition/output.jsonl")
    assert {r.prompt.key for r in made if isinstance(r, Rollout)} == {HALF}
    assert any("records of held-out problems were dropped" in note for note in log.notes)


def test_levels_share_the_proposals(make_context: Callable, make_engine: Callable) -> None:
    engine = make_engine({f"P:{level}|": {"+".join("1" * level): 1.0} for level in (2, 3, 4)})
    context = make_context(engine)
    made = Propose(problems=7, levels=[2, 3, 4], train="proposer", repetition=0.0).acquire([], context)
    asked = Counter(r.prompt.prompt[-1]["content"] for r in by_role(made)[1])
    assert max(asked.values()) == 3 and sum(asked.values()) + context.log.metrics["propose/held_out"] == 7


CATS = ["How many dogs sat on the old red mat", "How many dogs sat on the old red mat today", "What is half of cats"]


def test_near_repetitions_cost_the_share_of_all_of_them(make_context: Callable, make_engine: Callable) -> None:
    """Nobody solves any of them, so each is worth 1 before its repetitions are paid for."""
    roles = JsonlTask(path="unread").roles()
    roles.propose = lambda level: [{"role": "user", "content": "P"}]
    assert {split_of(roles.read_proposal(text).key) for text in CATS} == {"train"}
    context = make_context(make_engine({"P": dict.fromkeys([*CATS, "Sure, here is"], 1.0)}, "lost"), roles=roles)
    made = Propose(problems=40, train="proposer", value="mae", alike=0.5).acquire([], context)
    counts, paid = Counter(one.text for one in made), {one.text: one.reward for one in made}
    assert paid[CATS[0]] == paid[CATS[1]] == pytest.approx(1 - (counts[CATS[0]] + counts[CATS[1]]) / 40)
    assert paid[CATS[2]] == pytest.approx(1 - counts[CATS[2]] / 40) and paid["Sure, here is"] == -1.0


GRADES = {EASY: "Fine.\nScore: 9", HALF: "Score: 2, no: Score: 6", HARD: "Score: 12"}
"""What the model says of each problem: 0.9, 0.6 and nothing that can be read, which is 0."""


@pytest.fixture
def graded(play: Callable, make_engine: Callable, monkeypatch: Any) -> Callable[..., Any]:
    """`graded(gate=0.5)`: a round of `play` whose model grades its problems as GRADES says."""

    def run(**options: Any) -> Any:
        plain = make_engine.draw

        def draw(self: Any, asks: Sequence[Ask], log: Any) -> Any:
            for ask in asks:
                said = ask.prompt.prompt[-1]["content"]
                if said.startswith("Grade"):
                    [key] = [key for key in GRADES if f"S:{key}=" in said]
                    self.answers[said] = {GRADES[key]: 1.0}
            return plain(self, asks, log)

        monkeypatch.setattr(make_engine, "draw", draw)
        return play(value="mae", rate="reward", answers=True, repetition=0.0, low=0.0, high=1.0, grade=True, **options)

    return run


def test_a_grade_tells_junk_from_hard_problems(graded: Callable) -> None:
    made, context, _ = graded()
    paid = {r.text: r.reward for r in by_role(made)[1]}
    assert paid[EASY] == pytest.approx((0.0 + 0.9 + 1) / 3) and paid[HARD] == pytest.approx((1.0 + 0.0 + 1) / 3)
    assert paid[HALF] == pytest.approx((0.5 + 0.6 + 1) / 3, abs=0.1) and paid[JUNK] == -1.0
    assert context.log.metrics["propose/grade"] == pytest.approx(0.5)


def test_the_gate_keeps_what_is_graded_low_from_the_solver(graded: Callable) -> None:
    assert {r.prompt.key for r in by_role(graded(gate=0.6)[0])[0]} == {EASY, HALF}
    assert {r.prompt.key for r in by_role(graded(gate=0.61)[0])[0]} == {EASY}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"value": "fame"}, "value is 'fame'; choose from azr_learn, rzero_unc, spice_var, drzero_diff, mae"),
        ({"train": "nobody"}, "choose from solver, proposer, both"),
        ({"rate": "guess"}, "choose from agreement, reward"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(RecipeError, match=expected):
        Propose(**options)
