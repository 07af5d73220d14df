"""Masks of learned tokens for TRL's collators, which separate prompt and completion by their lengths only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.inference.rows import Row

_SAID = "_said"
"""Suffix of the column that marks the assistant's tokens of a side."""


def sides(**rows: Row) -> dict[str, list[int]]:
    """The columns of a row of data with a completion for each side: `chosen_ids`, and `chosen_said` beside it."""
    ids = {f"{side}_ids": row.completion for side, row in rows.items()}
    return ids | {f"{side}{_SAID}": row.said for side, row in rows.items()}


def without_needless(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without the columns of `sides` that mark every token."""
    needless = {name for name in rows[0] if name.endswith(_SAID) and all(all(row[name]) for row in rows)}
    return [{name: value for name, value in row.items() if name not in needless} for row in rows]


def unmark(mask: Any, examples: Sequence[dict[str, Any]], side: str) -> None:
    """Clear the mask of tokens that the assistant did not say.

    Args:
        mask: (rows, longest), 1 for the tokens of the completion; changed in place.
        side: whose columns the rows have, as `sides` names it.
    """
    for row, example in zip(mask, examples, strict=True):
        said, start = example.get(f"{side}{_SAID}"), len(example["prompt_ids"])
        if said is not None:
            row[start : start + len(said)] = row.new_tensor(said)
