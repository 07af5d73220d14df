"""Decisions in Kuhn poker: what is marked is what they win, and nothing hidden is shown."""

from __future__ import annotations

from collections import Counter

import pytest

from selfimprove.methods.task.kuhn_poker import SPOTS, KuhnPoker
from selfimprove.problems.splits import split_of
from selfimprove.records import Prompt


def test_problems_are_all_situations_in_turn_and_splits_do_not_meet() -> None:
    task = KuhnPoker()
    train, sealed = task.problems("train", 120, 1), [*task.problems("selection", 60, 1)]
    shown = Counter(one.prompt[-1]["content"] for one in train)
    assert shown == {f"K:{spot}|": 10 for spot in SPOTS} and len(SPOTS) == 12
    assert {split_of(one.key) for one in train} == {"train"} and not {one.key for one in train} & {
        one.key for one in sealed
    }
    assert task.problems("train", 40, 1, (1, 3)) == train[40:80]
    assert all(one.answer is None for one in train)


@pytest.mark.parametrize(
    ("key", "text", "mark"),
    [
        ("Kb/Q/0/1", "c", 1.0),  # two chips
        ("Jb/Q/0/1", "c", 0.0),
        ("Jb/Q/0/1", "f", 0.25),
        ("K/Q/0/1", "b", 0.75),  # the opponent folds
        ("K/Q/1/1", "b", 1.0),  # it calls
        ("Q/K/1/1", "k", 0.0),  # it bets, and a queen calls
        ("J/K/1/1", "k", 0.25),  # it bets, and a jack folds
        ("K/Q/0/1", "fold", 0.0),  # no move here
        ("Qkb/J/0/1", "call", 1.0),
    ],
)
def test_marks_by_hand(key: str, text: str, mark: float) -> None:
    assert KuhnPoker().verify(Prompt(prompt=[{"role": "user", "content": "?"}], key=key), text) == mark


def test_the_form_is_taught_by_legal_moves_of_chance_and_another_kind_of_prompt_has_no_mark() -> None:
    for words in (False, True):
        task = KuhnPoker(words=words)
        made = task.demonstrations("solve", 240, 0)
        moves = Counter((one.prompt.key[0], one.text) for one in made)
        assert len(moves) == 12 and min(moves.values()) > 5
        assert all(task.verify(one.prompt, one.text) is not None and task.answer_of(one.text) for one in made)
    assert KuhnPoker().verify(Prompt(prompt=[{"role": "user", "content": "?"}], key="document 1"), "k") is None
