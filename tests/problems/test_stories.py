"""Stories are written and read: what a sum becomes in words, and which texts are one."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.problems.stories import ASIDES, GAINS, LOSSES, Step, Story, fits, numbers, read, sums, told, totals

TEXT = "Ann has 3 nuts, finds 5, reads 4 pages, eats 2. How many?"


def test_a_story_and_its_sum() -> None:
    story = Story("Ann", "nuts", 3, (("finds", 5), ("reads", 4), ("eats", 2)))
    assert str(story) == TEXT and read(TEXT) == story
    assert story.key == "3+5-2" and story.verbs == ["finds", "eats"]
    assert numbers("3+5-2") == (3, [Step("+", 5), Step("-", 2)]) and totals(*numbers("3+5-2")) == [3, 8, 6]


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(0, 4))
def test_every_wording_of_a_sum_is_read_as_it(seed: int, length: int, asides: int) -> None:
    source = random.Random(seed)
    key = next(sums(length, source))
    story = told(key, asides, source)
    assert read(str(story)) == story and story.key == key and fits(*numbers(key))
    assert len({verb for verb, _ in story.clauses}) == length + asides


def test_all_sums_of_a_length_come_once() -> None:
    assert len(set(sums(1, random.Random(0)))) == len([*sums(1, random.Random(0))]) == 90
    two = [*islice(sums(2, random.Random(1)), 810)]
    assert len(set(two)) == 810 and {len(key) for key in two} == {5}


def test_verbs_begin_with_different_letters() -> None:
    verbs = [*GAINS, *LOSSES, *ASIDES]
    assert len({verb[0] for verb in verbs}) == len(verbs)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT + " ",
        TEXT.replace("Ann", "Zoe"),
        TEXT.replace("nuts", "cars"),
        TEXT.replace("finds", "steals"),
        TEXT.replace("pages", "boys"),
        TEXT.replace("eats", "finds"),  # a verb twice
        TEXT.replace("finds 5", "finds 7"),  # 10 has two digits
        TEXT.replace("eats 2", "eats 0"),  # nothing happens
        "Ann has 3 nuts, reads 4 pages. How many?",
        "Ann has 3 nuts. How many?",
    ],
)
def test_other_texts_are_no_story(text: str) -> None:
    assert read(text) is None
