"""Older rows: the wanted share, no repeats, and a store that knows every earlier round but not its own replays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove.methods.selection.replay import Replay


@pytest.fixture
def rounds(tmp_path: Path, make_context: Callable, make_rollout: Callable) -> Callable[..., list[list[str]]]:
    """`rounds([4, 4], share)`: the texts that each round gives on; round 2 makes "2.0", "2.1", ... itself."""

    def run(sizes: list[int], share: float = 0.25, seed: int = 7) -> list[list[str]]:
        given, previous = [], None
        for number, size in enumerate(sizes, 1):
            folder = tmp_path / f"{share}-{seed}-{number}"
            folder.mkdir(exist_ok=True)
            context = make_context(round=number, seed=seed, folder=folder, previous=previous)
            fresh = [make_rollout(f"{number}.{i}") for i in range(size)]
            given.append([rollout.text for rollout in Replay(share).select(fresh, context)])
            previous = folder
        return given

    return run


def test_a_quarter_of_later_rounds_is_older(rounds: Callable) -> None:
    first, second, third = rounds([6, 6, 9])
    assert first == [f"1.{i}" for i in range(6)]
    assert second[:6] == [f"2.{i}" for i in range(6)] and len(second) == 8
    assert set(second[6:]) < set(first)
    assert len(third) == 12 and set(third[9:]) <= {*first, *second[:6]} and len(set(third)) == 12


def test_the_store_holds_each_row_once(rounds: Callable, tmp_path: Path) -> None:
    rounds([4, 4, 4], share=0.5)
    lines = (tmp_path / "0.5-7-3" / "replay.jsonl").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 12


def test_a_small_store_is_given_whole_and_a_share_of_0_gives_nothing(rounds: Callable) -> None:
    assert len(rounds([2, 10], share=0.5)[1]) == 12
    assert rounds([4, 4], share=0.0) == [[f"{n}.{i}" for i in range(4)] for n in (1, 2)]


def test_the_draw_depends_on_the_seed(rounds: Callable) -> None:
    assert rounds([30, 30])[1] == rounds([30, 30])[1] != rounds([30, 30], seed=8)[1]
