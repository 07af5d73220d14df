"""Wording shared with held-out problems."""

from __future__ import annotations

import time

import pytest

from selfimprove.problems.overlap import WORDS, HeldOut, may_share, runs, text_of, twins
from selfimprove.problems.splits import split_of
from selfimprove.records import Document, Preference, Prompt, Rollout


def problem(text: str, system: str = "") -> Prompt:
    first = [{"role": "system", "content": system}] if system else []
    return Prompt(prompt=[*first, {"role": "user", "content": text}], key=text)


def words(first: int, n: int = WORDS) -> str:
    return " ".join(f"w{i}" for i in range(first, first + n))


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        (words(0), True),
        (f"Before {words(3)} after", True),
        (words(0).upper().replace(" ", ", ") + ".", True),
        (words(0).replace(" ", "\n"), True),
        (words(0, 11), False),
        (f"{words(0, 6)} x {words(6, 6)}", False),
        ("", False),
    ],
)
def test_twelve_words_in_a_row(text: str, shares: bool) -> None:
    held_out = HeldOut([problem(words(0, 20), system=words(100)), problem("other one")])
    assert held_out.shares(text) is shares
    assert not held_out.shares(words(100)), "all problems have the system message"
    assert may_share(text) or not shares


@pytest.mark.parametrize(
    ("held_out", "training", "others", "shares"),
    [(1, 1, 0, True), (2, 1, 0, False), (4, 5, 90, True), (4, 7, 90, False), (10, 0, 5000, True), (10, 1, 5000, False)],
)
def test_a_template_of_the_data_says_nothing(held_out: int, training: int, others: int, shares: bool) -> None:
    found = HeldOut(
        [problem(f"{i} {words(0)}") for i in range(held_out)],
        [problem(f"t{i} {words(0)}") for i in range(training)] + [problem(f"q{i}") for i in range(others)],
    )
    assert found.shares(words(0)) is shares
    assert found.near == [shares] * training + [False] * others


def test_records_of_every_kind_are_compared() -> None:
    asked = problem("q", system="s")
    said = [{"role": "assistant", "content": words(0)}]
    records = [
        Document(text=words(0)),
        problem(words(0)),
        Rollout(prompt=asked, completion=said),
        Preference(prompt=asked, chosen=[{"role": "assistant", "content": "x"}], rejected=said),
    ]
    held_out = HeldOut([problem(words(0)), problem("x"), problem("y")])
    assert all(held_out.shares(text_of(record)) for record in records)


def test_looking_up_is_linear() -> None:
    held_out = HeldOut([problem(words(100 * i, 100)) for i in range(200)] + [problem("x")])
    text = words(10**6, 20_000)
    began = time.process_time()
    assert not held_out.shares(text)
    assert time.process_time() - began < 1.0
    assert len(runs(text)) == 20_000 - WORDS + 1


def test_twins_differ_in_punctuation_and_not_in_signs() -> None:
    def key(*endings: str) -> list[str]:
        """A text whose forms with these endings are in training and in a held-out split."""
        bases = (f"what is {i} 3" for i in range(2000))
        return next(
            [base + end for end in endings]
            for base in bases
            if [split_of(base + end) == "train" for end in endings] == [True, False]
        )

    assert len(twins(key("?", ""))) == 1
    for apart in ((" - 5", " + 5"), ("!", ""), (" / 5", " * 5"), (".5", "5")):
        assert twins(key(*apart)) == []
