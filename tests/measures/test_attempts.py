"""Several attempts at one problem: values by hand, and what holds for all of them."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.measures.attempts import auroc, auroc_within, best_of_k, majority_at_k, pass_at_k, standardized


@pytest.mark.parametrize(
    ("n", "right", "k", "value"), [(10, 3, 5, 0.916667), (20, 1, 10, 0.5), (100, 5, 50, 0.971858), (4, 0, 4, 0.0)]
)
def test_pass_at_k_values(n: int, right: int, k: int, value: float) -> None:
    assert pass_at_k(n, right, k) == pytest.approx(value, abs=5e-7)


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(case: tuple[int, int, int]) -> None:
    n, right, k = case
    subsets = list(itertools.combinations([i < right for i in range(n)], k))
    assert pass_at_k(n, right, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_needs_k_completions() -> None:
    with pytest.raises(ValueError, match="pass@5 needs at least 5"):
        pass_at_k(4, 1, 5)


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_more_tries_never_lower_pass_at_k(case: tuple[int, int]) -> None:
    n, right = case
    tries = [pass_at_k(n, right, k) for k in range(1, n + 1)]
    assert tries == sorted(tries) and tries[0] == pytest.approx(right / n)


def test_the_majority_by_hand() -> None:
    answers, right = ["7", "7", "3", None], [True, True, False, False]
    assert majority_at_k(answers, right, 1) == 0.5
    assert majority_at_k(answers, right, 2) == pytest.approx((1 + 4 * 0.75) / 6)  # 77; 73 twice, a tie; 7- twice; 3-
    assert majority_at_k(answers, right, 4) == 1.0
    assert majority_at_k(["1", "2", "3"], [True, False, False], 3) == pytest.approx(1 / 3)
    assert majority_at_k([None, None], [False, False], 2) == 0.0
    with pytest.raises(ValueError, match="maj@3 needs at least 3"):
        majority_at_k(["1"], [True], 3)


@given(st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=16), st.randoms(use_true_random=False))
def test_resampled_majorities_do_not_depend_on_the_order(answers: list[str | None], source: random.Random) -> None:
    moved, k = source.sample(answers, len(answers)), max(1, len(answers) // 2)
    value = majority_at_k(answers, [answer == "2" for answer in answers], k)
    assert value == pytest.approx(majority_at_k(moved, [answer == "2" for answer in moved], k))
    assert 0 <= value <= ("2" in answers)


def test_resampled_majorities_are_near_the_exact_ones() -> None:
    answers = ["1"] * 9 + ["2"] * 7
    exact = sum(math.comb(9, i) * math.comb(7, 5 - i) for i in (3, 4, 5)) / math.comb(16, 5)
    found = majority_at_k(answers, [answer == "1" for answer in answers], 5, draws=2000)
    assert found == pytest.approx(exact, abs=3 * math.sqrt(0.25 / 2000))


completions = st.integers(1, 7).flatmap(
    lambda n: st.tuples(
        st.lists(st.booleans(), min_size=n, max_size=n),
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
        st.integers(1, n),
    )
)


@given(completions)
def test_best_of_k_is_the_mean_over_all_subsets(case: tuple[list[bool], list[int], int]) -> None:
    right, scores, k = case
    found = []
    for subset in itertools.combinations(range(len(right)), k):
        top = [i for i in range(len(right)) if scores[i] == max(scores[j] for j in subset)]
        found.append(sum(right[i] for i in top) / len(top))  # a tie takes the mean of its block
    assert best_of_k(right, scores, k) == pytest.approx(sum(found) / len(found))


def test_best_of_k_lies_between_luck_and_an_oracle() -> None:
    right = [True, False, False, True, False, False]
    for k in range(1, 7):
        assert best_of_k(right, right, k) == pytest.approx(pass_at_k(6, 2, k))
        assert best_of_k(right, [0.5] * 6, k) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="best@7 needs at least 7"):
        best_of_k(right, right, 7)


def test_the_area_under_the_curve() -> None:
    assert auroc([True, True, False, False], [0.9, 0.4, 0.5, 0.4]) == pytest.approx((2 + 0.5) / 4)
    assert auroc([True, False], [1.0, 0.0]) == 1.0 and auroc([True, False], [0.0, 0.0]) == 0.5
    assert auroc([True, True], [0.1, 0.2]) is None is auroc([], [])


def test_the_area_inside_a_prompt_ignores_how_prompts_differ() -> None:
    easy, hard = ([True, True, False], [0.9, 0.8, 0.85]), ([True, False, False], [0.2, 0.1, 0.15])
    metric = auroc_within([easy, hard, ([True, True], [0.5, 0.6])])
    assert (metric.value, metric.n) == (0.75, 2)
    assert auroc_within([]).n == 0 and math.isnan(auroc_within([]).value)


# ---- standardized scores -----------------------------------------------------------------------------------------
def test_standardized_by_hand() -> None:
    assert standardized([1.0, 3.0, None, 5.0]) == [-1.0, 0.0, None, 1.0]  # mean 3, Bessel's deviation 2
    assert standardized([0.1] * 7) == [0.0] * 7 and standardized([2.0]) == [0.0]
    assert standardized([None, None]) == [None, None] and standardized([]) == []


@given(st.lists(st.none() | st.floats(-100, 100), max_size=9), st.floats(0.5, 10), st.floats(-10, 10))
def test_standardized_values_do_not_know_their_scale(values: list[float | None], a: float, b: float) -> None:
    known = [value for value in standardized(values) if value is not None]
    assert math.fsum(known) == pytest.approx(0, abs=1e-6)
    spread = max((v for v in values if v is not None), default=0) - min((v for v in values if v is not None), default=0)
    if spread > 1e-3:
        assert math.fsum(v * v for v in known) / (len(known) - 1) == pytest.approx(1)
        moved = standardized([None if v is None else a * v + b for v in values])
        assert [v for v in moved if v is not None] == pytest.approx(known, abs=1e-5)
