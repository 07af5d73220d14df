"""Searches for an instruction: the planted best one is found within the budget, and nothing that does harm is kept."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from selfimprove.inference.instructions import cleaned
from selfimprove.interfaces import Refinement
from selfimprove.methods.refinement.ape import Ape
from selfimprove.methods.refinement.gepa import Gepa
from selfimprove.methods.refinement.opro import Opro
from selfimprove.methods.refinement.promptbreeder import Promptbreeder
from selfimprove.methods.refinement.textual_gradients import TextualGradients
from selfimprove.records import Message

PROBLEMS = 12
ROLES = ("instruct", "guess", "vary", "criticize", "rewrite", "mutate")
TEXTS = {f"text {i}": 0.1 for i in range(9)} | {"best": 0.1}
BUDGET: dict[str, Any] = {"problems": PROBLEMS, "answers": 20 * PROBLEMS}
SEARCHES = [
    Opro(**BUDGET),
    Ape(candidates=20, **BUDGET),
    TextualGradients(steps=6, edits=2, **BUDGET),
    Promptbreeder(population=8, generations=6, **BUDGET),
]


@pytest.fixture
def learns(table_model: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """`learns(method, right, texts, state, seed)`: what a search finds where `right(text)` of the problems are solved."""

    def run(
        method: Refinement,
        right: Callable[[str], float],
        texts: Mapping[str, float] = TEXTS,
        state: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> Any:
        def table(messages: Sequence[Message]) -> Mapping[str, float]:
            role, *parts = messages[-1]["content"].split("\n")
            if role in ROLES:
                return {f"<instruction> {text} </instruction>": share for text, share in texts.items()}
            text = parts[1] if role == "instructed" else ""
            number = int((parts[0] if role == "instructed" else role).removeprefix("q"))
            return {"#4" if number % PROBLEMS < right(text) * PROBLEMS else "#5": 1.0}

        task, engine, notes = table_model.Quiz(own_words=True), table_model.TableModel(table=table), list[str]()
        policy = table_model.policy_of(method, engine, task, seed=seed)
        log = table_model.Silent()
        log.note = notes.append
        context = table_model.context_of(policy.held(method), task, tmp_path, state=state or {}, seed=seed, log=log)
        learned = method.fit(context)
        answers = replace(policy, states=(learned,)).answer(task.problems("test", PROBLEMS, 1))
        solved = sum(not any(role in repr(ask.prompt.prompt) for role in ROLES) for ask in engine.asked)
        rate = sum(one.reward for one in answers) / PROBLEMS
        return SimpleNamespace(
            state=learned, rate=rate, notes=notes, paid=solved - PROBLEMS, engine=engine, answers=answers
        )

    return run


def planted(text: str) -> float:
    """A quarter without an instruction, all with the best one; others are in between or below."""
    return {"": 0.25, "best": 1.0}.get(text) or int(text[-1]) / 12


@pytest.mark.parametrize("method", SEARCHES, ids=[type(one).__name__ for one in SEARCHES])
def test_the_best_instruction_is_found_within_the_budget(learns: Callable, method: Any) -> None:
    found = 0
    for seed in range(4):
        made = learns(method, planted, seed=seed)
        found += made.state["instruction"] == "best" and made.rate == 1.0
        assert made.paid <= method.answers
        assert made.notes == [f"{made.notes[0].partition(':')[0]}: 240 answers buy 20 instructions on 12 problems each"]
    assert found >= 3


def test_an_answer_under_an_instruction_says_its_tokens(learns: Callable) -> None:
    """Its log-probability is that of another prompt and goes, so its tokens must be said beside it."""
    answers = learns(SEARCHES[1], planted).answers
    assert all(one.logprobs is None and one.info["spent"]["tokens"] > 0 for one in answers)


@pytest.mark.parametrize("method", SEARCHES, ids=[type(one).__name__ for one in SEARCHES])
def test_what_does_no_good_is_not_kept(learns: Callable, method: Any) -> None:
    made = learns(method, lambda text: 0.5 if text else 0.75)
    assert made.state["instruction"] == "" and made.rate == 0.75
    assert dict(made.state["tried"])["text 1"] == 0.5 and dict(made.state["tried"])[""] == 0.75


@pytest.mark.parametrize("method", [replace(one, answers=1) for one in SEARCHES])
def test_a_budget_that_buys_nothing_proposes_nothing(learns: Callable, method: Any) -> None:
    made = learns(method, planted)
    assert made.state == {"instruction": "", "tried": [["", 0.25]]} and made.paid == PROBLEMS
    assert len(made.engine.asked) == 2 * PROBLEMS, "nothing was proposed"


def test_a_search_goes_on_from_the_instruction_of_the_weights_before(learns: Callable) -> None:
    made = learns(Opro(**BUDGET), planted, {"text 1": 1.0}, {"instruction": "best"})
    assert made.state["instruction"] == "best"


def test_the_history_is_shown_with_the_best_last(learns: Callable) -> None:
    made = learns(Opro(history=2, **BUDGET), planted)
    last = [ask for ask in made.engine.asked if "instruct\n" in ask.prompt.prompt[-1]["content"]][-1]
    said = last.prompt.prompt[-1]["content"].split("\n")
    shares = [int(line.partition("%")[0]) for line in said if "% right: " in line]
    assert len(shares) == 2 and shares == sorted(shares)
    assert said.count("<reply>") == 3 and "#5" not in said


def test_gepa_finds_the_planted_best_one(learns: Callable) -> None:
    pytest.importorskip("gepa")
    made = learns(Gepa(problems=PROBLEMS, answers=600, minibatch=6), planted)
    assert made.state == {"instruction": "best"} and made.rate == 1.0
    assert made.paid <= 600 + PROBLEMS
    assert made.notes == ["gepa: 600 answers on 12 problems buy at most 49 proposals"]
    worse = learns(Gepa(problems=PROBLEMS, answers=60), lambda text: 0.5 if text else 0.75)
    assert worse.state == {"instruction": ""} and worse.rate == 0.75


def test_a_criticism_sees_wrong_replies_only(learns: Callable) -> None:
    made = learns(TextualGradients(**BUDGET), planted)
    asked = [ask.prompt.prompt[-1]["content"] for ask in made.engine.asked]
    first = next(text for text in asked if text.startswith("criticize"))
    assert first.count("<reply>") == 4 and "#4" not in first and "(none)" in first


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("Sure: <instruction>\nAdd up.\n</instruction> Good luck", "Add up."),
        ("<instruction>Add", "Add"),
        (" Add up. ", "Add up."),
        ("<instruction> </instruction>", ""),
    ],
)
def test_an_instruction_is_read_from_a_reply(reply: str, text: str) -> None:
    assert cleaned(reply) == text


def test_random_numbers_of_a_search_follow_its_seed(learns: Callable) -> None:
    before = random.getstate()
    one, two = (learns(SEARCHES[3], planted, seed=5).state for _ in range(2))
    assert one == two and random.getstate() == before
