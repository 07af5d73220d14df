"""Batches of rows of nearly the same length, so that little of them is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def by_length(lengths: Sequence[int], size: int) -> list[int]:
    """The places of rows in an order that a loader cuts into batches of `size`: each has rows of nearest length, and
    batches come in random order.

    transformers' `group_by_length` sorts within pools of at most a fourth of the rows, and of a few hundred rows it
    sorts nothing. Uses torch's own generator, which training checkpoints restore before each pass.
    """
    import torch

    rows = sorted(torch.randperm(len(lengths)).tolist(), key=lambda place: lengths[place])
    full, rest = divmod(len(rows), size)
    cut = int(torch.randint(full + 1, (1,))) * size  # the short batch, which must be the last, is of any length
    short, rows = rows[cut : cut + rest], rows[:cut] + rows[cut + rest :]
    return [row for batch in torch.randperm(full).tolist() for row in rows[batch * size : (batch + 1) * size]] + short


class ByLength:
    """A sampler of torch's data loader that gives `by_length` anew in each pass."""

    def __init__(self, lengths: Sequence[int], size: int) -> None:
        self.lengths, self.size = lengths, size

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(by_length(self.lengths, self.size))


def in_memory(data: Any, rows: Sequence[dict[str, Any]]) -> Any:
    """A data set whose loader takes its rows from memory instead of reading each anew."""
    data.__getitems__ = lambda places: [rows[place] for place in places]
    return data
