"""What is left out of training: held-out problems by key, and records of every kind that quote them."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.loop.held_out import without
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.problems import splits
from selfimprove.problems.splits import split_of
from selfimprove.records import Document, Preference, Prompt, Rollout
from tests.conftest import QuietLog


def keyed(split: str, text: str) -> Prompt:
    key = next(f"{text} {i}" for i in range(999) if split_of(f"{text} {i}") == split)
    return Prompt(prompt=[{"role": "user", "content": text}], key=key)


RIDDLE = "a man walks into a bar and asks for twelve words in a row please"


@dataclass
class Riddles(ChainSums):
    """One held-out riddle, and whether what quotes it is dropped."""

    drops: bool = True
    asked: list[str] = field(default_factory=list)

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        splits.check(split)
        self.asked.append(split)
        return [keyed(split, RIDDLE if split == "sealed" else f"{split} problem")]

    def overlap_left_out(self) -> bool:
        return self.drops


def compared(records: list[Any], task: Riddles) -> tuple[list[Any], dict[str, int], QuietLog, Any]:
    recipe = SimpleNamespace(task={"riddles": task}, the=lambda slot: task)
    stored: Any = SimpleNamespace(held_out=None, recipe=recipe)
    given: Any = SimpleNamespace(log=QuietLog(), round=1)
    with splits.closed("acquisition"):
        kept, counts = without(records, stored, given)
        with pytest.raises(RecipeError):
            task.problems("gate", 1, 0)
    return kept, counts, given.log, stored


def answer(problem: Prompt, text: str) -> Rollout:
    return Rollout(prompt=problem, completion=[{"role": "assistant", "content": text}])


OPEN = keyed("train", "what is it")
QUOTES = [
    Document(text=f"As they say, {RIDDLE.upper()}!"),
    keyed("train", RIDDLE),
    answer(OPEN, f"It reminds me: {RIDDLE}"),
    Preference(prompt=OPEN, chosen=[{"role": "assistant", "content": "x"}], rejected=answer(OPEN, RIDDLE).completion),
]
CLEAN = [Document(text="some other text that is long enough to be compared with all the held-out ones"), OPEN]


def test_records_of_every_kind_that_quote_a_held_out_problem_are_dropped_where_the_task_says_so() -> None:
    kept, counts, log, _ = compared([*QUOTES, *CLEAN, keyed("gate", "held out")], Riddles())
    assert kept == CLEAN
    assert counts == {"held_out_dropped": 1, "overlap": 4, "overlap_dropped": 4}
    assert "4 records share twelve words in a row with a held-out problem" in log.notes[1]
    assert "task.riddles.overlap=keep" in log.notes[1]


def test_elsewhere_they_are_counted_and_kept() -> None:
    kept, counts, log, _ = compared([*QUOTES, *CLEAN], Riddles(drops=False))
    assert kept == [*QUOTES, *CLEAN] and counts == {"held_out_dropped": 0, "overlap": 4}
    assert "they were kept" in log.notes[0]


def test_short_records_are_not_compared_and_nothing_is_read_for_them() -> None:
    task = Riddles()
    kept, counts, log, stored = compared([answer(OPEN, "3+5=8#8")], task)
    assert len(kept) == 1 and counts == {"held_out_dropped": 0} and not log.notes
    assert task.asked == [] and stored.held_out is None
