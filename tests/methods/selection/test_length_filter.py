"""Cut-off, too short and too long completions go; the longest of a level sets the measure for that level."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.methods.selection.length_filter import LengthFilter


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, ["1", "22", "4444", "666666"]),
        ({"min_length": 0}, ["", "1", "22", "4444", "666666"]),
        ({"min_length": 2}, ["22", "4444", "666666"]),
        ({"min_length": 2, "max_length": 4}, ["22", "4444"]),
        ({"shorter_than_longest": 2}, ["4444", "666666"]),
        ({"shorter_than_longest": 0}, ["666666"]),
        ({"max_length": 4, "shorter_than_longest": 2}, ["22", "4444"]),
    ],
)
def test_bounds(make_context: Callable, make_rollout: Callable, options: dict, kept: list[str]) -> None:
    offered = [make_rollout(text) for text in ("", "1", "22", "4444", "666666")]
    assert [r.text for r in LengthFilter(**options).select(offered, make_context())] == kept


def test_a_completion_that_ran_into_the_limit_is_dropped_and_sets_no_measure(
    make_context: Callable, make_rollout: Callable
) -> None:
    cut = make_rollout("9" * 99, info={"finish_reason": "length"})
    whole = make_rollout("4444", info={"finish_reason": "stop"})
    for options in ({}, {"shorter_than_longest": 1}):
        assert list(LengthFilter(**options).select([cut, whole], make_context())) == [whole]


def test_one_completion_that_is_too_long_does_not_set_the_commonest_length(
    make_context: Callable, make_rollout: Callable
) -> None:
    easy = [make_rollout(text, "1+2") for text in ("#3", "#4", "#33")]  # level 2
    hard = [make_rollout(text, "1+2+3+4") for text in ("#3333", "#4444", "#4", "#44444", "#5555555")]  # level 4
    kept = LengthFilter(off_mode=0).select([*easy, *hard], make_context())
    assert list(kept) == [*easy[:2], *hard[:2]]
    kept = LengthFilter(off_mode=1).select([*easy, *hard], make_context())
    assert list(kept) == [*easy, *hard[:2], hard[3]]
    assert not list(LengthFilter(off_mode=0, shorter_than_longest=0).select(hard, make_context()))


def test_each_level_has_its_own_longest(make_context: Callable, make_rollout: Callable) -> None:
    easy = [make_rollout(text, "1+2") for text in ("1+2=3#3", "#3")]  # level 2
    hard = [make_rollout(text, "1+2+3+4") for text in ("1+2=3;3+3=6;6+4=0#0", "1+2=3#3")]  # level 4
    kept = LengthFilter(shorter_than_longest=3).select([*easy, *hard], make_context())
    assert list(kept) == [easy[0], hard[0]]
