"""Reversed addition: hand-worked sums, digits that line up, one key for a+b and b+a, splits that do not meet."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.methods.task.addition import Addition
from selfimprove.problems.splits import SPLITS, split_of
from selfimprove.records import Prompt

FORM = re.compile(r"(\.*)(\d+)(\.*)\+(\.*)(\d+)(\.*)=(\.*)")


def shown(prompt: Prompt) -> str:
    return prompt.prompt[-1]["content"]


def sums(task: Addition, count: int = 60, split: str = "train") -> list[Prompt]:
    return task.problems(split, count, seed=3)


# ---- what a problem looks like -----------------------------------------------------------------------------------
def test_a_sum_worked_by_hand() -> None:
    prompt = Addition(shift=None)._prompt(895, 312)  # 895 + 312 = 1207
    assert shown(prompt) == "S:598+213="
    assert (prompt.answer, prompt.key, prompt.info) == ("7021", "312+895", {"level": 3})


def test_a_sum_in_base_five_worked_by_hand() -> None:
    prompt = Addition(base=5, shift=None)._prompt(22, 18)  # 42 + 33 = 130 in base five
    assert shown(prompt) == "S:24+33="
    assert (prompt.answer, prompt.key, prompt.info) == ("031", "33+42", {"level": 2})


def test_fields_without_shift() -> None:
    prompt = Addition(max_length=6, shift=0)._prompt(895, 312)
    assert shown(prompt) == "S:598...+213...="
    assert prompt.answer == "7021"


@given(
    base=st.integers(2, 10),
    length=st.integers(1, 8),
    shift=st.integers(0, 9),
    share=st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)),
)
def test_the_sum_is_right_and_digits_that_belong_together_are_equally_far_apart(
    base: int, length: int, shift: int, share: tuple[float, float]
) -> None:
    low = base ** (length - 1) if length > 1 else 0
    a, b = (low + int(part * (base**length - low)) for part in share)
    task = Addition(base=base, shift=shift)
    prompt = task._prompt(a, b)
    text = shown(prompt).removeprefix("S:")
    form = FORM.fullmatch(text)
    assert form
    before, first, after, again, second, rest, end = form.groups()
    assert int(first[::-1], base) == a and int(second[::-1], base) == b
    assert int(str(prompt.answer)[::-1], base) == a + b
    assert len(first) == len(second) == length == prompt.info["level"]
    assert before == again == end and after == rest and len(before) <= shift
    assert len(before + first + after) == 8
    # the digit of place i of both numbers and of the sum stand max_length + 1 characters apart
    whole = text + str(prompt.answer)
    places = [whole.index(first), text.index("+") + 1 + len(again), len(text)]
    assert places[1] - places[0] == places[2] - places[1] == 9


def test_every_shift_occurs_and_is_always_the_same_for_a_problem() -> None:
    task = Addition(max_length=5, shift=3)
    prompts = Addition(max_length=5, shift=3, level=2, taught_length=2).problems("train", 300, seed=1)
    lengths = [len(shown(prompt)) - shown(prompt).index("=") - 1 for prompt in prompts]
    assert set(lengths) == {0, 1, 2, 3}
    assert shown(task._prompt(17, 45)) == shown(task._prompt(17, 45)) == task.roles().solve("17+45")[0]["content"]


def test_a_problem_longer_than_the_field_is_written_out() -> None:
    assert Addition(max_length=3, taught_length=3).roles().solve("12345+67890")[0]["content"] == "S:54321+09876="


def test_a_padded_answer_has_one_digit_more_than_the_numbers() -> None:
    task = Addition(shift=None, padded=True)
    assert task._prompt(124, 213).answer == "7330"  # 337, and no carry in the last place
    assert task._prompt(895, 312).answer == "7021"
    assert {len(str(p.answer)) - p.info["level"] for p in sums(task)} == {1}
    assert all(task.verify(p, str(p.answer)) == 1.0 for p in sums(task))


# ---- keys and splits ---------------------------------------------------------------------------------------------
@given(st.integers(0, 9999), st.integers(0, 9999))
def test_the_order_of_the_numbers_makes_no_other_problem(a: int, b: int) -> None:
    one, other = Addition()._prompt(a, b), Addition()._prompt(b, a)
    assert one.key == other.key and one.answer == other.answer


def test_splits_are_disjoint_and_problems_lie_in_the_split_of_their_key() -> None:
    keys = {split: [p.key for p in sums(Addition(), 300, split)] for split in SPLITS}
    for split, found in keys.items():
        assert len(set(found)) == 300 and {split_of(key) for key in found} == {split}
    assert not any(set(a) & set(b) for a, b in itertools.combinations(keys.values(), 2))


def test_short_lengths_are_split_without_rest() -> None:
    task = Addition(base=3, min_length=1, max_length=2, taught_length=1)
    found = [p.key for split in SPLITS for p in task.problems(split, None, seed=0)]
    ones = [f"{a}+{b}" for a, b in itertools.combinations_with_replacement("012", 2)]
    twos = [f"{a}+{b}" for a, b in itertools.combinations_with_replacement(["10", "11", "12", "20", "21", "22"], 2)]
    assert sorted(found) == sorted([*ones, *twos])


def test_held_out_lengths_take_turns_and_a_used_up_length_drops_out() -> None:
    assert [p.info["level"] for p in sums(Addition(), 8, "gate")] == [3, 4, 5, 6, 7, 8, 3, 4]
    short = Addition(base=2, min_length=1, max_length=7, taught_length=1)
    levels = [p.info["level"] for p in short.problems("train", 40, seed=0)]
    assert levels.count(1) <= 3 and len(levels) == 40 and levels[-1] > 1


def test_a_share_of_the_training_problems_can_be_easier_than_the_level() -> None:
    task = Addition(level=5, easier_share=0.4)
    found = [p.info["level"] for p in sums(task)]
    assert Counter(found) == {5: 36, 4: 6, 3: 6, 2: 6, 1: 6}
    assert sums(task, 60, "gate") == sums(Addition(), 60, "gate")
    parts = [{p.key for p in task.problems("train", 30, 3, (i, 2))} for i in range(2)]
    assert len(parts[0]) == len(parts[1]) == 30 and not parts[0] & parts[1]


def test_the_level_turns_training_problems_only() -> None:
    task = Addition(level=5)
    assert {p.info["level"] for p in sums(task)} == {5}
    assert sums(task, 60, "gate") == sums(Addition(), 60, "gate")


@given(st.integers(1, 20), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=20)
def test_blocks_of_a_stream_never_overlap(n: int, parts: int, seed: int) -> None:
    blocks = [Addition().problems("gate", n, seed, (i, parts)) for i in range(parts)]
    joined = [p for block in blocks for p in block]
    assert [len(block) for block in blocks] == [n] * parts
    assert len({p.key for p in joined}) == n * parts
    assert joined == Addition().problems("gate", n * parts, seed)


def test_problems_follow_from_the_seed() -> None:
    task = Addition()
    assert task.problems("train", 30, 1) == task.problems("train", 30, 1)
    assert task.problems("train", 30, 1) != task.problems("train", 30, 2)
    assert len(task.problems("train", None, 1)) == 1500


# ---- marking -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["1207", "702", "70210", "7021.", " 7021", "", "7 021"])
def test_only_the_exact_digits_are_right(text: str) -> None:
    task = Addition()
    prompt = task._prompt(895, 312)
    assert task.verify(prompt, "7021") == 1.0
    assert task.verify(prompt, text) == 0.0


def test_the_answer_is_digits_only() -> None:
    task = Addition()
    assert task.answer_of("7021") == "7021"
    assert [task.answer_of(text) for text in ("", "70x1", "7021.", "²")] == [None] * 4


# ---- variants ----------------------------------------------------------------------------------------------------
def numbers_of(prompt: Prompt, base: int) -> tuple[int, int, int]:
    """Both numbers that a prompt shows, and by how many places they are moved."""
    form = FORM.fullmatch(shown(prompt).removeprefix("S:"))
    assert form
    before, first, after, again, second, rest, end = form.groups()
    assert before == again == end and after == rest
    return int(first[::-1], base), int(second[::-1], base), len(before)


@given(st.sampled_from(list(SPLITS)), st.sampled_from([10, 5]), st.integers(0, 99), st.integers(1, 5))
@settings(max_examples=25)
def test_a_variant_with_the_same_answer_is_swapped_or_moved(split: str, base: int, seed: int, n: int) -> None:
    task = Addition(base=base)
    for prompt in task.problems(split, 6, seed):
        a, b, _ = numbers_of(prompt, base)
        found = task.variants(prompt, "same", n, seed)
        free = 2 * (8 - prompt.info["level"] + 1) - 1
        assert len({shown(v) for v in found} | {shown(prompt)}) == len(found) + 1
        assert len(found) <= min(n, free) and (found or a == b)
        for variant in found:
            assert (variant.key, variant.answer, variant.info) == (prompt.key, prompt.answer, prompt.info)
            assert sorted(numbers_of(variant, base)[:2]) == sorted((a, b))


@given(st.sampled_from(list(SPLITS)), st.sampled_from([10, 5]), st.integers(0, 99), st.integers(1, 5))
@settings(max_examples=25)
def test_a_counterfactual_variant_has_another_digit_in_one_number(split: str, base: int, seed: int, n: int) -> None:
    task = Addition(base=base)
    for prompt in task.problems(split, 6, seed):
        found = task.variants(prompt, "counterfactual", n, seed)
        assert len(found) <= n and len({v.key for v in found} | {prompt.key}) == len(found) + 1
        for variant in found:
            a, b, _ = numbers_of(variant, base)
            assert variant.answer == task._digits(a + b)[::-1] != prompt.answer
            assert int(str(variant.answer)[::-1], base) == a + b
            assert split_of(variant.key) == split and variant.info == prompt.info
            kept = [x for x in (a, b) if x in numbers_of(prompt, base)[:2]]
            assert kept
            [old] = Counter(numbers_of(prompt, base)[:2]) - Counter(kept[:1])
            [new] = Counter((a, b)) - Counter(kept[:1])
            pairs = zip(task._digits(old), task._digits(new), strict=True)
            assert sum(x != y for x, y in pairs) == 1


def test_variants_follow_from_the_seed_and_need_no_reference() -> None:
    task = Addition()
    for prompt in sums(task, 12):
        for kind in ("same", "counterfactual"):
            found = task.variants(prompt, kind, 3, 1)
            assert found and found == task.variants(prompt.blind(), kind, 3, 1)
    assert task.variants(sums(task)[0], "counterfactual", 3, 1) != task.variants(sums(task)[0], "counterfactual", 3, 2)


def test_without_fields_the_only_variant_is_the_other_order() -> None:
    task = Addition(shift=None)
    [variant] = task.variants(task._prompt(895, 312), "same", 5, 0)
    assert (shown(variant), variant.answer, variant.key) == ("S:213+598=", "7021", "312+895")
    assert task.variants(task._prompt(312, 312), "same", 5, 0) == []


@given(st.integers(2, 10), st.integers(0, 99))
@settings(max_examples=20)
def test_the_worked_example_and_the_reference_answer_agree(base: int, seed: int) -> None:
    task = Addition(base=base)
    for example in task.demonstrations("solve", 10, seed):
        a, b = (int(number, base) for number in example.prompt.key.split("+"))
        assert int(example.text[::-1], base) == a + b and task._prompt(a, b).answer == example.text


# ---- roles and worked examples -----------------------------------------------------------------------------------
def test_examples_are_right_short_and_of_the_training_split() -> None:
    task = Addition(max_length=6, taught_length=4, base=7)
    examples = task.demonstrations("solve", 400, seed=2)
    lengths = []
    for example in examples:
        a, b = example.prompt.key.split("+")
        lengths.append(len(a))
        assert int(example.text[::-1], 7) == int(a, 7) + int(b, 7)
        assert split_of(example.prompt.key) == "train"
        assert example.prompt.answer is None
    assert {length: lengths.count(length) > 50 for length in set(lengths)} == dict.fromkeys([1, 2, 3, 4], True)
    assert examples == task.demonstrations("solve", 400, seed=2) != task.demonstrations("solve", 400, seed=3)


def test_examples_show_the_very_words_of_the_problems() -> None:
    task = Addition(level=4)
    for example in task.demonstrations("solve", 50, seed=0):
        a, b = example.prompt.key.split("+")
        orders = [task.roles().solve(f"{a}+{b}"), task.roles().solve(f"{b}+{a}")]
        assert example.prompt.prompt in orders
    assert all(p.prompt[0]["content"].startswith("S:") for p in sums(task))


def test_a_hint_is_the_answer_before_the_problem() -> None:
    task = Addition(shift=None)
    prompt = task._prompt(895, 312)
    assert task.roles().hint(prompt, "7021") == [{"role": "user", "content": "H:7021|213+598="}]
    for example in task.demonstrations("hint", 50, seed=0):
        assert example.prompt.prompt[0]["content"].startswith(f"H:{example.text}|")


def test_other_roles_are_refused_in_one_line() -> None:
    task = Addition()
    roles, prompt = task.roles(), task._prompt(895, 312)
    calls = {
        "propose": lambda: roles.propose(3),
        "judge": lambda: roles.judge(prompt, "7021"),
        "refine": lambda: roles.refine(prompt, "7021"),
    }
    for role, call in calls.items():
        for refused in (call, lambda role=role: task.demonstrations(role, 1, seed=0)):
            with pytest.raises(RecipeError) as caught:
                refused()
            assert str(caught.value) == f"task addition has no role {role!r}; it has solve, hint"


# ---- options -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"min_length": 5, "max_length": 4, "taught_length": 2}, "min_length"),
        ({"level": 9}, "level"),
        ({"taught_length": 9}, "taught_length"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, int], named: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Addition(**options)
    assert named in str(caught.value) and "\n" not in str(caught.value)
