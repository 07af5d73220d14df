"""The middle of the lengths stays; what was cut off does not; the longest are a baseline."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.selection.length_quantiles import LengthQuantiles
from selfimprove.records import Document, Preference, Prompt


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"low": 0.25, "high": 0.75}, [2, 3, 4]),
        ({"low": 0.0, "high": 1.0}, [1, 2, 3, 4, 5]),
        ({"low": 0.5, "high": 0.5}, [3]),
        ({"low": 0.0, "high": 1.0, "longest": 2}, [4, 5]),
        ({"low": 0.0, "high": 0.75, "longest": 2}, [3, 4]),
        ({"longest": 0}, []),
    ],
)
def test_quantiles_by_hand(make_context: Callable, options: dict, kept: list[int]) -> None:
    pool = [Document(text=" ".join("w" * n)) for n in (1, 2, 3, 4, 5)]
    assert [len(one.text.split()) for one in LengthQuantiles(**options).select(pool, make_context())] == kept


def test_each_level_and_each_kind_of_record(make_context: Callable, make_rollout: Callable) -> None:
    easy = [make_rollout("x" * n, "1+2") for n in (1, 2, 3)]
    hard = [make_rollout("x" * n, "1+2+3+4") for n in (10, 20, 30)]
    cut = make_rollout("x" * 20, "1+2+3+4", info={"finish_reason": "length"})
    method = LengthQuantiles(low=0.5, high=0.5, characters=True, by_level=True)
    assert list(method.select([*easy, *hard, cut], make_context())) == [easy[1], hard[1]]
    asked = Prompt(prompt=[{"role": "user", "content": "four"}])
    pair = Preference(prompt=asked, chosen=[{"role": "assistant", "content": "to"}], rejected=easy[0].completion)
    read = method.read([asked, pair, cut], {})
    assert read["lengths"].tolist() == [4, 2, -1]


def test_bounds_that_cross_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"low 0\.9 is above high 0\.1"):
        LengthQuantiles(low=0.9, high=0.1)
