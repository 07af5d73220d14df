"""Countdown: any right expression is right, nothing that a model writes is run, splits share no problem."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.methods.task.countdown import Countdown
from selfimprove.problems.expressions import evaluate, reached, work
from selfimprove.problems.splits import SPLITS, split_of
from selfimprove.records import Prompt

ROLES = ("solve", "hint", "propose", "judge", "refine")
lists = st.lists(st.integers(1, 12), min_size=2, max_size=4)


def problem(key: str) -> Prompt:
    numbers, _, target = key.partition("=")
    answer = {"3,3,8,8=24": "8/(3-8/3)"}.get(key)  # it has no way by whole values
    tree = reached(tuple(map(int, numbers.split(",")))).get(int(target), 0)
    return Prompt(prompt=[{"role": "user", "content": f"S:{key}|"}], key=key, answer=answer or work(tree))


# ---- marking -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("3+5=8;8+8=16#(3+5)+8", 1.0),
        ("#8+5+3", 1.0),
        ("3 + 5 + 8", 1.0),
        ("#3+5+8#8+8", 0.0),  # the last one counts
        ("#8+8", 0.0),  # a number is missing
        ("#16", 0.0),
        ("#3+5+8+8-8", 0.0),  # a number too often
        ("#3*5+8-7", 0.0),
        ("#3*5+8", 0.0),  # 23
        ("3+5=8;8+8=16", 0.0),
        ("#(3+5", 0.0),
        ("#-3+5+8", 0.0),
        ("#3+5+8.0", 0.0),
        ("", 0.0),
        ("#", 0.0),
    ],
)
def test_marks_by_hand(text: str, mark: float) -> None:
    assert Countdown().verify(problem("3,5,8=16"), text) == mark


def test_without_a_reference_nothing_is_marked() -> None:
    assert Countdown().verify(problem("3,5,8=16").blind(), "#3+5+8") is None
    assert Countdown().verify(replace(problem("3,5,8=16"), answer="3*5+8"), "#3+5+8") is None  # of another problem
    assert Countdown().verify(Prompt(prompt=[], key="propose 3 0"), "3,5,8=16") is None


def test_values_on_the_way_need_not_be_whole() -> None:
    assert Countdown().verify(problem("3,3,8,8=24"), "#8/(3-8/3)") == 1.0  # 8/(1/3), exactly


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').getcwd()",
        "9**9**9**9",
        "1//0",
        "1/0",
        "1/(2-2)",
        "(" * 150,
        "1+" * 5000 + "1",
        "(lambda: 1)()",
        "1_0",
        "0x10",
        "1e9",
        "3(5)",
        "\u0663+\u0665",
        "1,2",
        "~1",
        "1 if 1 else 2",
        "03",
    ],
)
def test_what_is_no_plain_sum_has_no_value_and_is_not_run(text: str) -> None:
    assert evaluate(text) == (None, []) and Countdown().answer_of(text) is None


@given(st.text(max_size=60) | st.text("0123456789+-*/() ", max_size=60))
@settings(max_examples=300)
def test_any_text_is_marked_without_an_error(text: str) -> None:
    assert Countdown().verify(problem("3,5,8=16"), text) in (0.0, 1.0)


@given(lists)
def test_each_way_uses_every_number_once_and_ends_at_its_value(numbers: list[int]) -> None:
    for value, tree in itertools.islice(reached(tuple(sorted(numbers))).items(), 40):
        steps, _, text = work(tree).rpartition("#")
        found, used = evaluate(text)
        assert found == Fraction(value) > 0 and sorted(used) == sorted(numbers)
        for step in steps.split(";"):
            sides = step.split("=")
            assert evaluate(sides[0])[0] == int(sides[1]) > 0
        assert len(steps.split(";")) == len(numbers) - 1 and steps.endswith(f"={value}")


def test_two_numbers_reach_what_they_reach() -> None:
    assert set(reached((3, 12))) == {15, 9, 36, 4} and set(reached((5, 8))) == {13, 3, 40}


# ---- problems ----------------------------------------------------------------------------------------------------
def test_a_small_world_is_split_without_rest_and_every_problem_can_be_solved() -> None:
    task = Countdown(min_length=2, max_length=3, max_number=4, max_target=20)
    found = [p for split in SPLITS for p in task.problems(split, 10_000, seed=0)]
    every = {
        f"{','.join(map(str, numbers))}={target}"
        for n in (2, 3)
        for numbers in itertools.combinations_with_replacement(range(1, 5), n)
        for target in reached(numbers)
        if target <= 20
    }
    assert Counter(p.key for p in found) == Counter(every)
    assert all(split_of(p.key) == split for split in SPLITS for p in task.problems(split, 30, 1))


def test_problems_follow_from_the_seed_and_parts_join() -> None:
    task = Countdown()
    whole = task.problems("gate", 90, 3)
    assert whole == [p for i in range(3) for p in task.problems("gate", 30, 3, (i, 3))]
    assert whole != task.problems("gate", 90, 4) and len({p.key for p in whole}) == 90
    assert {p.info["level"] for p in Countdown(level=3).problems("train", 20, 0)} == {3}
    assert Countdown(level=3).problems("gate", 20, 0) == task.problems("gate", 20, 0)


def test_a_prompt_shows_the_numbers_in_some_order_and_no_answer() -> None:
    for prompt in Countdown().problems("train", 60, 0):
        shown = re.fullmatch(r"S:([\d,]+)=(\d+)\|", prompt.prompt[-1]["content"])
        assert shown and ",".join(sorted(shown[1].split(","), key=int)) + f"={shown[2]}" == prompt.key


def test_variants() -> None:
    task = Countdown()
    for prompt in task.problems("train", 20, 0):
        for variant in task.variants(prompt, "same", 3, 1):
            assert (variant.key, variant.answer) == (prompt.key, prompt.answer) and variant.prompt != prompt.prompt
        for variant in (found := task.variants(prompt, "counterfactual", 3, 1)):
            assert variant.key.split("=")[0] == prompt.key.split("=")[0] and variant.key != prompt.key
            assert split_of(variant.key) == "train" and task.verify(variant, str(prompt.answer)) == 0.0
        assert found == task.variants(prompt.blind(), "counterfactual", 3, 1)


# ---- roles -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ROLES)
def test_demonstrations_are_of_training_problems_and_right(role: str) -> None:
    task, roles = Countdown(), Countdown().roles()
    examples = task.demonstrations(role, 200, 0)
    assert examples == task.demonstrations(role, 200, 0) != task.demonstrations(role, 200, 1)
    verdicts: Counter[Any] = Counter()
    for example in examples:
        assert split_of(example.prompt.key) == "train" and example.prompt.answer is None
        if role == "propose":
            assert example.text == example.prompt.key and roles.read_proposal(example.text)
        elif role == "judge":
            attempt = example.prompt.prompt[-1]["content"].split("|")[1]
            assert roles.read_judgement(example.text) == task.verify(problem(example.prompt.key), attempt)
            verdicts[roles.read_judgement(example.text)] += 1
        else:
            assert task.verify(problem(example.prompt.key), example.text) == 1.0
    assert role != "judge" or min(verdicts[0.0], verdicts[1.0]) > 50


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("8,3,5=16", "3,5,8=16"),
        ("3,5,8=16 ", None),
        ("3=3", None),
        ("3,5=17", None),
        ("3,16=19", None),
        ("0,3=3", None),
        ("12,12,12=1728", None),
        ("1,1,1,1,1=5", None),
        ("", None),
    ],
)
def test_proposals(text: str, key: str | None) -> None:
    read = Countdown().roles().read_proposal(text)
    assert (read.key if read else None) == key
    assert read is None or Countdown().verify(read, str(read.answer)) == 1.0


def test_the_words_of_the_roles() -> None:
    roles, prompt = Countdown().roles(), problem("3,5,8=16")
    asked = (roles.hint(prompt, "3+5+8"), roles.judge(prompt, "#1"), roles.refine(prompt, "#1"), roles.propose(3))
    assert [m[-1]["content"] for m in asked] == ["H:3+5+8|3,5,8=16|", "J:3,5,8=16|#1|", "R:3,5,8=16|#1|", "P:3|"]
    assert [roles.read_judgement(text) for text in ("16,16#y", "16,9#n", "16")] == [1.0, 0.0, None]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"min_length": 1}, "2 <= min_length"),
        ({"max_length": 7}, "max_length <= 6"),
        ({"level": 1}, "level is 1; it must be 2 to 6"),
        ({"max_target": 1}, "at least 2"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, int], expected: str) -> None:
    with pytest.raises(RecipeError, match=expected):
        Countdown(**options)
