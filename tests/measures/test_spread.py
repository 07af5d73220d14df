"""Greedy choices against brute force and against the plain greedy algorithms; clusters by hand."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from selfimprove.measures import spread


def rows_of(n: int, width: int, seed: int) -> Any:
    found = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def radius(rows: Any, chosen: Any) -> float:
    far = np.linalg.norm(rows[:, None] - rows[None, list(chosen)], axis=2)
    return float(far.min(1).max())


def total(rows: Any, chosen: Any) -> float:
    return float(spread.alike(rows, rows[list(chosen)]).max(1).sum())


def test_the_bounds_of_both_greedy_choices_hold_against_all_subsets() -> None:
    """Ten rows, three chosen: within twice the least radius, and at least 1 - 1/e of the largest sum."""
    for seed in range(25):
        rows = rows_of(10, 3, seed)
        every = list(combinations(range(10), 3))
        assert radius(rows, spread.k_center(rows, 3)) <= 2 * min(radius(rows, one) for one in every) + 1e-5
        best = max(total(rows, one) for one in every)
        assert total(rows, spread.facility_location(rows, 3)) >= (1 - 1 / np.e) * best


@pytest.mark.parametrize(("block", "recent"), [(4, 1), (16, 3), (256, 64)])
def test_lazy_is_what_plain_greedy_chooses(monkeypatch: pytest.MonkeyPatch, block: int, recent: int) -> None:
    rows = rows_of(90, 5, 3)
    near, plain = rows @ rows.mean(0), list[int]()
    nearest = np.full(90, -np.inf)
    while len(plain) < 40:
        plain.append(int(near.argmax()) if not plain else int(np.where(np.isin(range(90), plain), 9, nearest).argmin()))
        nearest = np.maximum(nearest, rows @ rows[plain[-1]])
    monkeypatch.setattr(spread, "BLOCK", block)
    monkeypatch.setattr(spread, "RECENT", recent)
    assert spread.k_center(rows, 40) == plain
    chosen = list[int]()
    while len(chosen) < 20:
        sums = [-1.0 if one in chosen else total(rows, [*chosen, one]) for one in range(90)]
        chosen.append(int(np.argmax(sums)))
    monkeypatch.setattr(spread, "BLOCK", max(8, block))
    assert spread.facility_location(rows, 20) == chosen
    gains = np.diff([0.0, *(total(rows, chosen[: k + 1]) for k in range(20))])
    assert (np.diff(gains) <= 1e-5).all()


def test_a_copy_of_a_chosen_row_comes_last() -> None:
    rows = rows_of(6, 4, 1)
    twice = np.concatenate([rows, rows])
    for choose in (spread.k_center, spread.facility_location):
        assert {one % 6 for one in choose(twice, 6)} == set(range(6))
        assert sorted(choose(twice, 12)) == list(range(12))
        assert choose(rows[:0], 3) == []


def test_clusters_by_hand() -> None:
    rows = np.array([[0, 0], [0, 1], [10, 0], [10, 1]], dtype=np.float32)
    own, centers = spread.k_means(rows, 2, seed=0)
    assert own[0] == own[1] != own[2] == own[3]
    assert sorted(map(tuple, centers.tolist())) == [(0.0, 0.5), (10.0, 0.5)]
    alike = np.ones((5, 2), dtype=np.float32)
    assert len(spread.k_means(alike, 3, seed=0)[1]) == 1 and len(spread.k_means(rows[:0], 3, seed=0)[0]) == 0
