"""N-grams of many texts together are those of each text alone, by hand and by plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.measures import ngrams

texts = st.lists(st.text(st.sampled_from("ab \u00e9\n.'"), max_size=12), max_size=6)


@given(texts, st.integers(1, 3))
def test_equal_runs_have_equal_numbers_and_others_do_not(some: list[str], n: int) -> None:
    numbers, counts = ngrams.runs(*ngrams.words(some), n)
    split = [text.lower().split() for text in some]
    own = [tuple(units[at : at + n]) for units in split for at in range(len(units) - n + 1)]
    assert counts.tolist() == [max(0, len(units) - n + 1) for units in split]
    assert len(own) == len(numbers)
    assert len(set(own)) == len(set(zip(own, numbers.tolist(), strict=True))) == len(set(numbers.tolist()))


@given(texts)
def test_characters_and_tokens_are_those_of_each_text(some: list[str]) -> None:
    numbers, sizes = ngrams.letters(some)
    assert sizes.tolist() == [len(" ".join(text.lower().split())) for text in some]
    assert len(numbers) == sum(sizes)
    parts = [ngrams.tokens([text])[0].tolist() for text in some]
    assert ngrams.tokens(some)[0].tolist() == [one for part in parts for one in part]


def test_runs_that_many_texts_have_are_a_template() -> None:
    asked = [f"Please answer in one word {name}" for name in ("red", "blue", "green")]
    held = ngrams.held(asked, 3, most=2)
    assert len(held) == 3  # one word red, one word blue, one word green
    assert len(ngrams.held(asked, 3, most=3)) == 6
    assert set(ngrams.loose_runs(["in ONE word: 'red'!"], 3)[0].tolist()) & set(held.tolist())
    assert len(ngrams.held([], 3, 1)) == 0


def test_short_texts_are_one_gram_and_marks_tell_keys_apart() -> None:
    numbers, counts = ngrams.grams(["a b", "A  b", "a c", "", "a b c d"], 3)
    assert counts.tolist() == [1, 1, 1, 1, 2]
    assert numbers[0] == numbers[1]
    assert len(set(numbers.tolist())) == 5
    assert len(set(ngrams.marks(["a", "b", "", "a"]).tolist())) == 3
    assert ngrams.marks([]).dtype == np.uint64


def test_parts_hold_few_texts_and_few_characters() -> None:
    sizes = [len(part) for part in ngrams.in_parts(["x" * (ngrams.LETTERS // 2)] * 5)]
    assert sizes == [2, 2, 1]
    assert [len(part) for part in ngrams.in_parts(["x"] * 1025)] == [512, 512, 1]
