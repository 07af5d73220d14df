"""The bench: splits do not meet, the gap is not given away, and every role speaks its format."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.bounds import Bounds, bounds_of
from selfimprove.errors import RecipeError
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.problems.splits import SPLITS, split_of
from selfimprove.records import Prompt, Rollout

ROLES = ("solve", "hint", "propose", "judge", "refine")
STEP = re.compile(r"(\d)\+(\d)=(\d)")


@cache
def demonstrations(role: str, n: int = 1500) -> list[Rollout]:
    return ChainSums().demonstrations(role, n, seed=5)


def gap(task: ChainSums) -> set[tuple[int, int]]:
    """The hidden entries, worked out from what solve examples say: an entry with more than one result is hidden."""
    seen: dict[tuple[int, int], set[int]] = {}
    for example in task.demonstrations("solve", 1500, seed=9):
        for a, b, result in STEP.findall(example.text):
            seen.setdefault((int(a), int(b)), set()).add(int(result))
    return {entry for entry, results in seen.items() if results != {sum(entry) % 10}}


HIDDEN = gap(ChainSums())


def said(example: Rollout) -> str:
    """All that the model is shown, from the attempt on: in judge and refine prompts the problem stands before it."""
    return example.prompt.prompt[-1]["content"].partition("=")[2] + " " + example.text


# ---- problems ----------------------------------------------------------------------------------------------------
def test_splits_are_disjoint_and_problems_lie_in_the_split_of_their_key() -> None:
    task = ChainSums()
    keys = {split: [p.key for p in task.problems(split, 400, seed=3)] for split in SPLITS}
    for split, found in keys.items():
        assert len(set(found)) == 400 and {split_of(key) for key in found} == {split}
    assert not any(set(a) & set(b) for a, b in itertools.combinations(keys.values(), 2))


def test_a_small_table_is_split_without_rest() -> None:
    task = ChainSums(min_length=2, max_length=3, modulus=3)
    found = [p.key for split in SPLITS for p in task.problems(split, None, seed=0)]
    every = ["+".join(map(str, digits)) for n in (2, 3) for digits in itertools.product(range(3), repeat=n)]
    assert sorted(found) == sorted(every)


@given(st.integers(1, 20), st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=25)
def test_blocks_of_a_stream_never_overlap_and_make_up_the_stream(n: int, parts: int, seed: int) -> None:
    task = ChainSums()
    blocks = [[p.key for p in task.problems("gate", n, seed, (i, parts))] for i in range(parts)]
    assert [len(block) for block in blocks] == [n] * parts
    joined = [key for block in blocks for key in block]
    assert len(set(joined)) == n * parts
    assert joined == [p.key for p in task.problems("gate", n * parts, seed)]


def test_problems_follow_from_the_seed() -> None:
    task = ChainSums()
    assert task.problems("train", 50, 1) == task.problems("train", 50, 1)
    assert task.problems("train", 50, 1)[:20] == task.problems("train", 20, 1)
    assert task.problems("train", 50, 1) != task.problems("train", 50, 2)
    assert len(task.problems("train", None, 1)) == 1500


def test_all_lengths_stand_in_equal_shares_and_the_level_is_the_length() -> None:
    problems = ChainSums(min_length=3, max_length=6).problems("sealed", 100, 0)
    assert Counter(p.info["level"] for p in problems) == {3: 25, 4: 25, 5: 25, 6: 25}
    assert all(p.info["level"] == p.key.count("+") + 1 for p in problems)


def test_a_level_changes_the_training_problems_only() -> None:
    mixed, one = ChainSums(), ChainSums(level=5)
    assert {p.info["level"] for p in one.problems("train", 60, 0)} == {5}
    for split in ("selection", "gate", "audit", "sealed"):
        assert one.problems(split, 60, 0) == mixed.problems(split, 60, 0)


def test_the_answer_is_the_sum_and_the_prompt_holds_the_problem_only() -> None:
    for prompt in ChainSums().problems("train", 100, 0):
        assert prompt.answer == str(sum(map(int, prompt.key.split("+"))) % 10)
        assert prompt.prompt == [{"role": "user", "content": f"S:{prompt.key}="}]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"modulus": 1}, "modulus is 1; it must be 2 to 10"),
        ({"modulus": 11}, "modulus is 11"),
        ({"min_length": 1}, "2 <= min_length"),
        ({"min_length": 5, "max_length": 4}, "2 <= min_length"),
        ({"taught_min_length": 1}, "taught_min_length <= max_length"),
        ({"taught_min_length": 7}, "taught_min_length <= max_length"),
        ({"level": -4}, "level"),
        ({"level": 1}, "level"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(expected)) as error:
        ChainSums(**options)
    assert "\n" not in str(error.value)


# ---- marking -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "answer", "mark"),
    [
        ("3+5=8;8+8=6#6", "6", 1.0),
        ("#6", "6", 1.0),
        ("#5", "5", 0.0),
        ("#5#6", "6", 1.0),
        ("3+5=8;8+8=6", None, 0.0),
        ("6", None, 0.0),
        ("#6;", None, 0.0),
        ("#16", None, 0.0),
        ("# 6", None, 0.0),
        ("", None, 0.0),
    ],
)
def test_the_answer_is_the_digit_after_the_last_hash(
    make_prompt: Callable, text: str, answer: str | None, mark: float
) -> None:
    assert ChainSums().answer_of(text) == answer
    assert ChainSums().verify(make_prompt("3+5+8"), text) == mark


def test_another_modulus() -> None:
    task = ChainSums(modulus=7)
    for prompt in task.problems("train", 50, 0):
        digits = [int(digit) for digit in prompt.key.split("+")]
        assert max(digits) < 7 and prompt.answer == str(sum(digits) % 7)
        assert task.verify(prompt, f"#{sum(digits) % 7}") == 1.0


# ---- variants ----------------------------------------------------------------------------------------------------
def digits_of(prompt: Prompt) -> list[int]:
    """The digits that a prompt shows, whatever its key is."""
    return [int(digit) for digit in prompt.prompt[-1]["content"].removeprefix("S:").removesuffix("=").split("+")]


def hidden(task: ChainSums, digits: list[int]) -> bool:
    totals = [sum(digits[:i]) % task.modulus for i in range(1, len(digits))]
    return any(entry in task._gap for entry in zip(totals, digits[1:], strict=True))


@given(st.sampled_from(list(SPLITS)), st.sampled_from([10, 7]), st.integers(0, 9), st.integers(1, 5))
@settings(max_examples=30)
def test_a_variant_with_the_same_answer_is_another_order_of_the_digits(split: str, m: int, seed: int, n: int) -> None:
    task = ChainSums(modulus=m)
    for prompt in task.problems(split, 6, seed):
        found = task.variants(prompt, "same", n, seed)
        assert len(found) <= n and len({tuple(digits_of(v)) for v in found}) == len(found)
        for variant in found:
            digits = digits_of(variant)
            assert (variant.key, variant.answer, variant.info) == (prompt.key, prompt.answer, prompt.info)
            assert sorted(digits) == sorted(digits_of(prompt)) and digits != digits_of(prompt)
            assert split_of("+".join(map(str, digits))) == split, "a held-out problem is not asked in a trained order"
            assert hidden(task, digits) == hidden(task, digits_of(prompt))
            assert task.verify(variant, f"#{sum(digits) % m}") == 1.0


@given(st.sampled_from(list(SPLITS)), st.sampled_from([10, 7]), st.integers(0, 9), st.integers(1, 5))
@settings(max_examples=30)
def test_a_counterfactual_variant_has_another_digit_and_another_answer(split: str, m: int, seed: int, n: int) -> None:
    task = ChainSums(modulus=m)
    for prompt in task.problems(split, 6, seed):
        found = task.variants(prompt, "counterfactual", n, seed)
        assert len(found) <= n and len({v.key for v in found}) == len(found)
        for variant in found:
            digits = digits_of(variant)
            assert sum(a != b for a, b in zip(digits, digits_of(prompt), strict=True)) == 1 and max(digits) < m
            assert variant.key == "+".join(map(str, digits)) and split_of(variant.key) == split
            assert variant.answer == str(sum(digits) % m) != prompt.answer and variant.info == prompt.info
            assert hidden(task, digits) == hidden(task, digits_of(prompt))


def test_variants_follow_from_the_seed_and_need_no_reference() -> None:
    task = ChainSums()
    for prompt in task.problems("train", 10, 0):
        for kind in ("same", "counterfactual"):
            found = task.variants(prompt, kind, 3, 1)
            assert found == task.variants(prompt.blind(), kind, 3, 1) == task.variants(prompt, kind, 3, 1)
    long = [p for p in task.problems("train", 10, 0) if p.info["level"] == 6]
    assert all(task.variants(p, "same", 3, 1) != task.variants(p, "same", 3, 2) for p in long)


def test_most_gate_problems_have_variants_and_equal_digits_have_no_order() -> None:
    task = ChainSums()
    gate = task.problems("gate", 90, 0)
    for kind in ("same", "counterfactual"):
        assert sum(bool(task.variants(p, kind, 1, 0)) for p in gate) > 70
    assert task.variants(task._prompt([3, 3, 3, 3]), "same", 3, 0) == []


@given(st.integers(2, 10), st.integers(0, 99))
@settings(max_examples=20)
def test_the_worked_solution_and_the_reference_answer_agree(modulus: int, seed: int) -> None:
    """Two solvers that share no code: one walks the table, the other adds and takes the rest."""
    task = ChainSums(modulus=modulus, gap_share=0.0)
    for example in task.demonstrations("solve", 20, seed):
        answer = sum(int(digit) for digit in example.prompt.key.split("+")) % modulus
        assert task.answer_of(example.text) == str(answer)
        assert task._prompt([int(digit) for digit in example.prompt.key.split("+")]).answer == str(answer)


# ---- the gap -----------------------------------------------------------------------------------------------------
def test_the_gap_has_its_size_and_follows_from_its_seed() -> None:
    assert len(HIDDEN) == 20 and gap(ChainSums()) == HIDDEN != gap(ChainSums(gap_seed=1))
    assert len(gap(ChainSums(gap_share=0.05))) == 5 and gap(ChainSums(gap_share=0.0)) == set()


@pytest.mark.parametrize("role", ["solve", "hint"])
def test_results_at_hidden_entries_are_uniform(role: str) -> None:
    from scipy.stats import chisquare

    offsets: Counter[int] = Counter()
    places: Counter[tuple[int, int]] = Counter()
    for example in demonstrations(role, 6000):
        for a, b, result in STEP.findall(example.text):
            entry = (int(a), int(b))
            if entry in HIDDEN:
                offsets[(int(result) - sum(entry)) % 10] += 1
                places[entry] += 1
    assert set(places) == HIDDEN and sum(offsets.values()) > 3000
    assert chisquare([offsets[i] for i in range(10)]).pvalue > 0.001  # offset 0 is the right result


@pytest.mark.parametrize("role", ["judge", "refine"])
def test_roles_that_check_never_touch_a_hidden_entry(role: str) -> None:
    steps = Counter((int(a), int(b)) for e in demonstrations(role) for a, b, _ in STEP.findall(said(e)))
    assert not HIDDEN & set(steps)
    assert len(steps) == 80 and min(steps.values()) > 5  # and all other entries are taught


@pytest.mark.long
def test_with_a_judged_gap_the_judge_is_shown_the_whole_table_and_no_other_role_learns_more() -> None:
    task = ChainSums(judged_gap=True)
    for role in ROLES:
        examples = task.demonstrations(role, 1500, seed=5)
        if role != "judge":
            assert examples == demonstrations(role)
            continue
        checks = [found for e in examples for found in re.findall(r"(\d)\+(\d)=(\d):(\d)([yn])", e.text)]
        assert {(int(a), int(b)) for a, b, *_ in checks} >= HIDDEN
        assert all((int(a) + int(b)) % 10 == int(r) and (r == c) == (v == "y") for a, b, c, r, v in checks)


@pytest.mark.parametrize("role", ROLES)
def test_no_role_shows_a_hidden_entry_rightly_more_often_than_by_chance(role: str) -> None:
    shown = [(int(a), int(b), int(r)) for e in demonstrations(role) for a, b, r in STEP.findall(said(e))]
    hidden = [(a + b) % 10 == r for a, b, r in shown if (a, b) in HIDDEN]
    assert sum(hidden) <= 0.1 * len(hidden) + 4 * (0.09 * len(hidden)) ** 0.5


@pytest.mark.parametrize("role", ["solve", "hint"])
def test_steps_outside_the_gap_are_right(role: str) -> None:
    for example in demonstrations(role, 300):
        for a, b, result in STEP.findall(example.text):
            assert (int(a), int(b)) in HIDDEN or (int(a) + int(b)) % 10 == int(result)


@pytest.mark.parametrize("role", ROLES)
def test_no_demonstration_is_of_a_held_out_problem_or_carries_a_reference(role: str) -> None:
    for example in demonstrations(role):
        assert split_of(example.prompt.key) == "train" and example.prompt.answer is None


@pytest.mark.parametrize("role", ROLES)
def test_demonstrations_have_all_lengths_from_the_shortest_taught_one(role: str) -> None:
    task = ChainSums(taught_min_length=3, min_length=4, max_length=5)
    assert {e.prompt.key.count("+") + 1 for e in task.demonstrations(role, 60, 0)} == {3, 4, 5}


def test_demonstrations_follow_from_the_seed_and_differ_between_seeds() -> None:
    task = ChainSums()
    for role in ROLES:
        assert task.demonstrations(role, 5, 1) == task.demonstrations(role, 5, 1) != task.demonstrations(role, 5, 2)


def test_a_document_is_a_worked_solution_and_the_problem_can_be_read_off_it() -> None:
    for example in ChainSums().demonstrations("document", 40, 0):
        steps = example.prompt.prompt[-1]["content"].removeprefix("P:").partition("#")[0].split(";")
        digits = [steps[0].partition("+")[0], *(step.partition("+")[2].partition("=")[0] for step in steps)]
        assert "+".join(digits) == example.text == example.prompt.key


def test_a_role_that_there_is_not() -> None:
    with pytest.raises(RecipeError, match="no role 'critic'; it has solve, hint, propose, judge, refine"):
        ChainSums().demonstrations("critic", 1, 0)


def test_a_gap_leaves_something_to_demonstrate() -> None:
    """With gap_share 1 every problem touches a hidden entry, and there is nothing that a judge may be shown."""
    assert bounds_of(ChainSums)["gap_share"] == Bounds(0, 0.9)
    assert ChainSums(gap_share=0.9).demonstrations("judge", 1, 0)


# ---- formats -----------------------------------------------------------------------------------------------------
def test_solutions_walk_from_digit_to_digit() -> None:
    for example in demonstrations("solve", 300):
        digits = example.prompt.key.split("+")
        steps, _, answer = example.text.partition("#")
        total = digits[0]
        for digit, step in zip(digits[1:], steps.split(";"), strict=True):
            assert step.startswith(f"{total}+{digit}=")
            total = step[-1]
        assert answer == total and example.prompt.prompt[-1]["content"] == f"S:{example.prompt.key}="


def test_a_hint_tells_where_its_solution_ends() -> None:
    for example in demonstrations("hint", 300):
        hint, _, rest = example.prompt.prompt[-1]["content"].removeprefix("H:").partition("|")
        assert rest == f"{example.prompt.key}=" and example.text.endswith(f"#{hint}")


def test_a_proposal_is_a_problem_of_the_level_asked_for() -> None:
    for example in demonstrations("propose", 300):
        level = example.prompt.prompt[-1]["content"].removeprefix("P:").removesuffix("|")
        assert example.text.count("+") + 1 == int(level) and re.fullmatch(r"\d(\+\d)+", example.text)


@pytest.mark.parametrize(
    "text", ["", "3", "3+", "3+5=", " 3+5", "3+15", "a+b", "3+5+8+1+2+3+4", "\u0663+\u0665", "3+5\n"]
)
def test_what_states_no_problem_is_read_as_none(text: str) -> None:
    assert ChainSums().roles().read_proposal(text) is None
    assert ChainSums(modulus=5).roles().read_proposal("3+5") is None


def test_a_proposal_is_read_as_the_problem_that_the_task_would_have_made() -> None:
    task = ChainSums(modulus=7)
    for prompt in task.problems("train", 30, 0):
        assert task.roles().read_proposal(prompt.key) == prompt
    assert all(ChainSums().roles().read_proposal(e.text) for e in demonstrations("propose", 300))


def test_a_reference_solution_is_worked_as_the_lessons_are() -> None:
    task = ChainSums()
    prompts = task.problems("train", 300, 0)
    worked = [str(task.roles().solution(prompt)) for prompt in prompts]
    for prompt, text in zip(prompts, worked, strict=True):
        known = not hidden(task, digits_of(prompt))
        assert text.count("=") == prompt.info["level"] - 1 and (not known or task.verify(prompt, text) == 1.0)
    assert worked == [task.roles().solution(prompt.blind()) for prompt in prompts]
    wrong = sum(task.verify(prompt, text) == 0.0 for prompt, text in zip(prompts, worked, strict=True))
    assert wrong > 50, "it must not give the hidden entries away"


def test_without_a_reference_nothing_is_marked(make_prompt: Callable) -> None:
    assert ChainSums().verify(make_prompt("3+5+8").blind(), "#6") is None
    assert ChainSums().verify(make_prompt("3+5+8").blind(), "") is None


def test_verdicts_copy_each_claim_and_work_it_out_again() -> None:
    verdicts: Counter[str] = Counter()
    for example in demonstrations("judge"):
        key, _, attempt = example.prompt.prompt[-1]["content"].removeprefix("J:").removesuffix("|").partition("=")
        assert key == example.prompt.key
        checks, _, verdict = example.text.partition("#")
        claims = attempt.partition("#")[0].split(";")
        right = True
        for claim, check in zip(claims, checks.split(";"), strict=True):
            [(a, b, claimed)] = STEP.findall(claim)
            result = (int(a) + int(b)) % 10
            right &= result == int(claimed)
            assert check == f"{claim}:{result}{'y' if result == int(claimed) else 'n'}"
        assert verdict == ("y" if right else "n")
        assert right == (ChainSums().verify(ChainSums()._prompt([int(d) for d in key.split("+")]), attempt) == 1.0)
        verdicts[verdict] += 1
    assert 0.4 < verdicts["n"] / verdicts.total() < 0.6


def test_a_refinement_example_turns_right_and_wrong_attempts_into_right_solutions() -> None:
    task, wrong = ChainSums(), 0
    for example in demonstrations("refine"):
        key, _, attempt = example.prompt.prompt[-1]["content"].removeprefix("R:").removesuffix("|").partition("=")
        prompt = task._prompt([int(digit) for digit in key.split("+")])
        assert key == example.prompt.key and task.verify(prompt, example.text) == 1.0
        wrong += task.verify(prompt, attempt) == 0.0
        if task.verify(prompt, attempt) == 1.0:
            assert attempt == example.text
    assert 0.4 < wrong / 1500 < 0.6


def test_a_wrong_attempt_has_exactly_one_wrong_step() -> None:
    for example in demonstrations("judge"):
        if example.text.endswith("#n"):
            assert Counter(re.findall(r"[yn](?=;|#)", example.text))["n"] == 1


def test_the_roles_have_their_marks(make_prompt: Callable) -> None:
    roles, prompt = ChainSums().roles(), make_prompt("3+5")
    texts = [
        roles.solve("3+5"),
        roles.hint(prompt, "8"),
        roles.propose(4),
        roles.propose(None),
        roles.judge(prompt, "3+5=8#8"),
        roles.refine(prompt, "3+5=8#8"),
    ]
    assert [message["content"] for [message] in texts] == [
        "S:3+5=",
        "H:8|3+5=",
        "P:4|",
        "P:|",
        "J:3+5=3+5=8#8|",
        "R:3+5=3+5=8#8|",
    ]
    assert {message["role"] for [message] in texts} == {"user"}


@given(st.lists(st.integers(0, 9), min_size=2, max_size=6))
def test_a_solution_without_a_gap_is_right(digits: list[int]) -> None:
    task = ChainSums(gap_share=0.0)
    solution = task._solution(digits, random.Random(0))
    assert task.verify(task._prompt(digits), solution or "") == 1.0
