"""Held-out problems stay out of reach of the data stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from selfimprove import registry
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Acquisition, Context
from selfimprove.loop import loop
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.problems import splits
from selfimprove.records import Prompt, Record


def test_only_held_out_splits_are_closed_and_only_as_long_as_the_stage_runs() -> None:
    task = ChainSums()
    with splits.closed("acquisition"):
        assert task.problems("train", 3, 0) and task.problems("selection", 3, 0)
        for split in splits.HELD_OUT:
            with pytest.raises(RecipeError, match=f"acquisition asked for {split} problems"):
                task.problems(split, 3, 0)
    assert all(task.problems(split, 3, 0) for split in splits.HELD_OUT)


def test_an_error_inside_opens_them_again() -> None:
    with pytest.raises(ZeroDivisionError), splits.closed("selection"):
        raise ZeroDivisionError
    splits.check("gate")


@dataclass
class Thief(Acquisition):
    """Tries every way to gate problems that what it is handed leads to."""

    consumes: ClassVar[Any] = None
    produces: ClassVar[Any] = Prompt

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        ways = (
            lambda: context.verify.__self__.problems("gate", 5, 0),  # type: ignore[attr-defined]
            lambda: context.policy.answer_of.__self__.problems("sealed", 5, 0),  # type: ignore[attr-defined]
            lambda: registry.find("task", "chain_sums").method().problems("audit", 5, 0),
        )
        for way in ways:
            with pytest.raises(RecipeError):
                way()
        return ways[0]()


@pytest.mark.long
def test_a_hostile_method_fails_and_the_message_names_the_step(
    make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, log = make_run("rounds=1")
    run = loop.Runner(folder, log)
    monkeypatch.setitem(run.stored.recipe.acquisition, "seed_prompts", Thief())
    with pytest.raises(RecipeError, match="acquisition asked for gate problems"):
        run.run()
