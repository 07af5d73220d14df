"""Stop strings on tokens of several characters and on pieces of a character: held to decoding everything each time."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from selfimprove.inference.stops import Watch, completed, first_stop

TEXT = "So 3+5 is 8.\n\nSo the end.\n\nStep 1: naïve café.\n\nStep 2: So 12.\n\n" * 4


class Words:
    """As much of a transformers tokenizer as is used here, of a byte-level BPE with merges such as `.\\n\\n` and `Step`."""

    def __init__(self) -> None:
        self.inner = Tokenizer(BPE())
        self.inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self.inner.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        self.inner.train_from_iterator(
            [TEXT], BpeTrainer(vocab_size=330, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False)
        )
        self.all_special_ids = [0]

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool) -> str:
        return self.inner.decode(list(tokens), skip_special_tokens=skip_special_tokens)

    def ids(self, text: str) -> list[int]:
        return self.inner.encode(text).ids


words = functools.cache(Words)
STOPS = ["\n\n", "Step", ".", "8", "é", "ve c", "o 1", ":", " "]


def slowly(tokens: Sequence[int], stops: tuple[str, ...]) -> tuple[int, str]:
    """The same by decoding all tokens after each one."""
    for count in range(1, len(tokens) + 1):
        if found := completed(words().decode(tokens[:count], True), stops):
            return count, found[0]
    return len(tokens), ""


def test_the_tokens_are_what_this_is_about() -> None:
    parts = [words().decode([one], True) for one in words().ids(TEXT)]
    assert max(map(len, parts)) >= 6 and any("\n\n" in one and len(one) > 2 for one in parts), parts
    assert len(words().ids("☃")) == 3, "a character of three pieces"


@pytest.mark.parametrize(
    ("text", "stops", "kept", "stop"),
    [
        ("So 3+5 is 8.\n\nSo", ("\n\n",), "So 3+5 is 8.\n\nS", "\n\n"),  # the token that completes it stays whole
        ("Step 1: naïve", ("t", ":"), "Step", "t"),
        ("a ☃ b", ("☃",), "a ☃", "☃"),
        ("no such thing", ("#",), "no such thing", ""),
    ],
)
def test_by_hand(text: str, stops: tuple[str, ...], kept: str, stop: str) -> None:
    tokens = words().ids(text)
    count, found = first_stop(words(), tokens, stops)
    assert (words().decode(tokens[:count], True), found) == (kept, stop)
    assert (count, found) == slowly(tokens, stops)


PIECES = st.sampled_from([[one] for one in range(330)] + [words().ids(one) for one in (TEXT[:40], "Step", "é", "☃")])


@given(st.lists(PIECES, max_size=12), st.lists(st.sampled_from(STOPS), min_size=1, max_size=3, unique=True))
def test_any_tokens_end_where_decoding_everything_finds_the_end(pieces: list[list[int]], stops: list[str]) -> None:
    tokens = [one for piece in pieces for one in piece]
    assert first_stop(words(), tokens, tuple(stops)) == slowly(tokens, tuple(stops))


def test_rows_are_watched_apart_and_end_once() -> None:
    watch, one, other = Watch(words(), {0: ("8",), 2: (".",)}), words().ids("8"), words().ids(".")
    assert watch.step([0, 1, 2], [*one, *one, *one]) == [0], "row 1 has no stop strings, row 2 others"
    assert watch.step([0, 2], [*one, *other]) == [1] and watch.found == {0: "8", 2: "."}


def test_an_end_token_has_no_text() -> None:
    tokens: list[Any] = [*words().ids("So"), 0, *words().ids(" 1")]
    assert first_stop(words(), tokens, ("o 1",)) == slowly(tokens, ("o 1",)) == (len(tokens), "o 1")
