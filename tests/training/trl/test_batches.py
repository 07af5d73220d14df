"""Batches of rows of nearly the same length."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.training.trl.batches import ByLength, by_length, in_memory

LENGTHS = [7, 3, 9, 3, 5, 8, 2, 6, 4, 1]


def batches_of(order: list[int], size: int) -> list[list[int]]:
    return [order[place : place + size] for place in range(0, len(order), size)]


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 9), st.integers(0, 99))
def test_every_row_comes_once_and_no_batch_reaches_into_another(lengths: list[int], size: int, seed: int) -> None:
    torch.manual_seed(seed)
    order = by_length(lengths, size)
    assert sorted(order) == list(range(len(lengths)))
    spans = sorted(sorted(lengths[row] for row in batch) for batch in batches_of(order, size))
    assert all(one[-1] <= other[0] for one, other in itertools.pairwise(spans) if one and other)


def test_passes_differ_and_the_same_state_gives_the_same_order() -> None:
    sampler = ByLength(LENGTHS, 4)
    torch.manual_seed(0)
    first, second = [*sampler], [*sampler]
    torch.manual_seed(0)
    assert ([*sampler], [*sampler]) == (first, second)
    assert first != second
    assert len(sampler) == 10


def test_the_short_batch_is_the_last_and_not_always_of_the_longest_rows() -> None:
    torch.manual_seed(0)
    last = [max(LENGTHS[row] for row in by_length(LENGTHS, 4)[8:]) for _ in range(40)]
    assert {2, 9} <= set(last)


@pytest.mark.parametrize("places", [[1], [2, 0], []])
def test_rows_from_memory_are_those_of_the_data_set(places: list[int]) -> None:
    from datasets import Dataset

    rows = [{"input_ids": [1, 2], "weight": 0.1}, {"input_ids": [3], "weight": 1.0}, {"input_ids": [], "weight": 2.0}]
    data = Dataset.from_list(rows)
    assert in_memory(data, rows).__getitems__(places) == [data[place] for place in places]
