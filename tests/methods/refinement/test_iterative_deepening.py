"""A reply is interrupted at growing distances, and the model goes on after the sentence that makes it doubt."""

from __future__ import annotations

from types import ModuleType

import pytest

from selfimprove.costs import Given
from selfimprove.methods.refinement.iterative_deepening import IterativeDeepening

LONG = "a b c d e f g #1"


@pytest.mark.parametrize(
    ("says", "first", "text", "spent"),
    [
        ({"#1": 1.0}, 8, "#1", {}),  # it ended before
        ({LONG: 1.0, "a b? no: #4": 1e-9}, 3, "a b? no: #4", {"completions": 2, "tokens": 10}),
        ({LONG: 1.0, "a b c d e f? ": 1e-9}, 11, "a b c d e f? ", {"completions": 2, "tokens": 13}),
    ],
)
def test_the_sentence_comes_after_the_first_tokens(
    table_model: ModuleType, says: dict, first: int, text: str, spent: dict
) -> None:
    [made] = table_model.answered(
        IterativeDeepening(samples=1, first=first, growth=10, trigger="?", temperature=1.0), 1, {"q0": says}
    )
    assert made.text == text
    assert made.info.get("spent", {}).items() >= spent.items()


def test_each_distance_is_a_multiple_of_the_one_before(table_model: ModuleType) -> None:
    endless = " ".join("abcdefghijklmnopqrstuvwxyz")
    engine = table_model.TableModel(table=lambda messages: {endless: 1.0}, length=24)
    [made] = table_model.answered(IterativeDeepening(samples=1, first=4, trigger="", temperature=0.0), 1, engine)
    assert [ask.sampling.max_completion_length for ask in engine.asked] == [4, 4, 8, 8]
    assert made.text == endless[:24] and made.truncated
    given = Given(length=24, attempt=Given(length=24).draw())
    assert IterativeDeepening(samples=1, first=4).cost(given).completions == 4
