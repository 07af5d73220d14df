"""List programs: one triple, three questions; a run of the program marks any answer and always comes to an end."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.methods.task.list_programs import LIMIT, ListPrograms, run
from selfimprove.problems.splits import SPLITS, split_of
from selfimprove.records import Prompt

ROLES = ("solve", "hint", "propose", "judge", "refine")
programs = st.lists(st.sampled_from([*"rstudeoa", "+3", "*2", "*5"]), min_size=1, max_size=8).map("".join)


def asked(form: str, key: str) -> tuple[ListPrograms, Prompt]:
    task = ListPrograms(forms=form)
    return task, task._prompt(key)


@pytest.mark.parametrize(
    ("program", "given", "out"),
    [
        ("r", "314", "413"),
        ("s", "314", "134"),
        ("t", "314", "14"),
        ("u", "314", "31"),
        ("d", "314", "314314"),
        ("e", "3142", "42"),
        ("o", "3142", "31"),
        ("a", "398", "320"),  # 3, 12, 20
        ("+3", "389", "612"),
        ("*2", "389", "668"),
        ("r+3", "314", "746"),
        ("e", "31", None),
        ("t", "3", None),
        ("x", "314", None),
        ("", "314", None),
        ("+", "314", None),
        ("+0", "314", None),
        ("r", "3a4", None),
        ("r", "\u0663", None),
        ("dddddddd", "12345", None),  # would make 2,550 digits
    ],
)
def test_runs_by_hand(program: str, given: str, out: str | None) -> None:
    assert run(program, given) == out == run(program, given)


@pytest.mark.runs
@given(programs | st.text(max_size=20), st.text("0123456789", max_size=8))
@settings(max_examples=300)
def test_every_run_ends_within_its_limit(program: str, given: str) -> None:
    out = run(program, given)
    assert out is None or (1 <= len(out) <= LIMIT and out.isdigit())


# ---- the three questions -----------------------------------------------------------------------------------------
def test_deduction_asks_for_the_output() -> None:
    task, prompt = asked("D", "r+3|314")
    assert prompt.prompt[-1]["content"] == "D:r+3|314|" and prompt.answer == "746"
    assert [task.verify(prompt, text) for text in ("r=413;+3=746#746", "746", "#745", "#r+3", "")] == [1, 1, 0, 0, 0]


def test_abduction_takes_any_input_that_has_the_output() -> None:
    task, prompt = asked("A", "e*5|314")  # even digits times 5: always 0
    assert prompt.prompt[-1]["content"] == "A:e*5|0|" and prompt.answer == "314"
    assert [task.verify(prompt, text) for text in ("#314", "#4", "#78", "#31", "#22", "#e")] == [1, 1, 1, 0, 0, 0]


def test_induction_takes_any_program_that_does_the_same_on_hidden_inputs_too() -> None:
    task, prompt = asked("I", "+3+4|314")
    shown = dict(pair.split("=") for pair in prompt.prompt[-1]["content"][2:-1].split(","))
    assert len(shown) == 3 and shown["314"] == "081" and prompt.answer == "+3+4"
    assert [task.verify(prompt, text) for text in ("#+3+4", "#+7", "#+4+3", "#+6", "#081", "#")] == [1, 1, 1, 0, 0, 0]


def test_without_a_reference_nothing_is_marked() -> None:
    assert ListPrograms().verify(asked("D", "r+3|314")[1].blind(), "#746") is None
    task, prompt = asked("D", "r+3|314")
    assert task.verify(replace(prompt, answer="745"), "#746") is None  # the reference of another problem
    assert ListPrograms().verify(Prompt(prompt=[], key="propose 3 0"), "r+3|314") is None


def test_a_program_that_fits_only_what_is_shown_is_wrong() -> None:
    """`s` and `ss` are one program; `s` and nothing-but-turning differ on some hidden input of some problem."""
    task, caught = ListPrograms(forms="I"), 0
    for first in range(1000):
        prompt = task._prompt(f"s|{first:03d}")
        pairs = [pair.split("=") for pair in prompt.prompt[-1]["content"][2:-1].split(",")]
        if all(run("r", one) == out for one, out in pairs):
            assert task.verify(prompt, "#ss") == 1.0
            caught += task.verify(prompt, "#r") == 0.0
    assert caught > 0


# ---- problems ----------------------------------------------------------------------------------------------------
def test_splits_share_no_triple_and_a_triple_is_asked_about_once() -> None:
    task = ListPrograms()
    keys = {split: [p.key for p in task.problems(split, 300, 3)] for split in SPLITS}
    for split, found in keys.items():
        assert len(set(found)) == 300 and {split_of(key) for key in found} == {split}
    assert not any(set(a) & set(b) for a, b in itertools.combinations(keys.values(), 2))
    forms = Counter(p.info["form"] for p in task.problems("gate", 600, 0))
    assert set(forms) == set("DAI") and min(forms.values()) > 150
    assert {p.info["form"] for p in ListPrograms(forms="D").problems("gate", 60, 0)} == {"D"}


def test_problems_follow_from_the_seed_and_parts_join() -> None:
    task = ListPrograms()
    whole = task.problems("gate", 90, 3)
    assert whole == [p for i in range(3) for p in task.problems("gate", 30, 3, (i, 3))] != task.problems("gate", 90, 4)
    assert {p.info["level"] for p in ListPrograms(level=2).problems("train", 20, 0)} == {2}


def test_variants_have_the_same_program_and_another_answer() -> None:
    task = ListPrograms()
    for prompt in task.problems("train", 30, 0):
        found = task.variants(prompt.blind(), "counterfactual", 2, 0)
        for variant in found:
            assert variant.key.split("|")[0] == prompt.key.split("|")[0] and split_of(variant.key) == "train"
            assert task.verify(variant, str(prompt.answer)) == 0.0 and variant.info["form"] == prompt.info["form"]
        assert prompt.info["form"] == "I" or found
    assert task.variants(prompt, "same", 2, 0) == []


# ---- roles -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ROLES)
def test_demonstrations_are_of_training_problems_and_right(role: str) -> None:
    task, roles = ListPrograms(), ListPrograms().roles()
    examples = task.demonstrations(role, 80, 0)
    assert examples == task.demonstrations(role, 80, 0) != task.demonstrations(role, 80, 1)
    verdicts: Counter[Any] = Counter()
    for example in examples:
        assert split_of(example.prompt.key) == "train" and example.prompt.answer is None
        words = example.prompt.prompt[-1]["content"]
        if role == "propose":
            assert example.text == example.prompt.key and roles.read_proposal(example.text)
        elif role == "judge":
            verdicts[roles.read_judgement(example.text)] += 1
            marked = task.verify(task._prompt(example.prompt.key), words.rstrip("|").rpartition("|")[2])
            assert roles.read_judgement(example.text) == marked
        else:
            assert task.verify(task._prompt(example.prompt.key), example.text) == 1.0
    assert role != "judge" or min(verdicts[0.0], verdicts[1.0]) > 20


@pytest.mark.parametrize(
    "text", ["", "r", "r|", "|314", "x|314", "r|31a", "r|314|1", "rrrr|314", "t|3", "r|314159", "__import__|1"]
)
def test_what_is_no_valid_program_is_no_problem(text: str) -> None:
    assert ListPrograms().roles().read_proposal(text) is None


@given(programs, st.text("0123456789", min_size=1, max_size=5))
def test_a_proposal_is_valid_when_it_runs_and_is_marked_rightly_by_itself(program: str, given: str) -> None:
    task = ListPrograms(max_length=8)
    read = task.roles().read_proposal(f"{program}|{given}")
    assert (read is None) == (run(program, given) is None)
    assert read is None or (task.verify(read, str(read.answer)) == 1.0 and read.key == f"{program}|{given}")


@pytest.mark.parametrize(
    "options", [{"min_length": 0}, {"max_length": 9}, {"level": 9}, {"forms": "DX"}, {"forms": ""}]
)
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="task.list_programs"):
        ListPrograms(**options)


# ---- tests as answers --------------------------------------------------------------------------------------------
def test_the_role_test_writes_pairs_that_hold_some_of_them_shown_and_some_not() -> None:
    task, shown = ListPrograms(forms="DAI"), []
    for example in task.demonstrations("test", 40, 0):
        asked, (given, out) = example.prompt.prompt[-1]["content"], example.text.split("=")
        shown.append(example.text in asked.removeprefix("T:I:").removesuffix("|").split(","))
        assert asked.startswith("T:I:") and run(example.prompt.key.split("|")[0], given) == out
    assert 10 < sum(shown) < 35  # copying an example is easy to learn, and tells right programs from wrong ones


def test_there_are_no_tests_without_inductions() -> None:
    with pytest.raises(RecipeError, match="add I to forms"):
        ListPrograms(forms="DA").demonstrations("test", 1, 0)
