"""Texts that share most of their n-grams meet in a band, as the formula says, and go only if they are that similar."""

from __future__ import annotations

import random

import numpy as np
import pytest

from selfimprove.measures.shingles import BANDS, ROWS, bands, jaccard, kept, shingles


def test_sets_of_grams_by_hand() -> None:
    one, other = shingles("The cat sat on the mat", 3), shingles("the cat  sat on a mat", 3)
    assert len(one) == len(other) == 4
    assert jaccard(one, other) == pytest.approx(2 / 6)  # the cat sat, cat sat on
    assert len(shingles("a a a a a", 2)) == 1
    assert jaccard(shingles("two words", 5), shingles("Two  words", 5)) == 1.0  # too short: equal or nothing
    assert jaccard(shingles("two words", 5), shingles("two word", 5)) == 0.0
    assert len(shingles("", 5)) == 1
    assert len(shingles("abcab", 2, characters=True)) == 3


@pytest.mark.parametrize("similarity", [0.6, 0.8, 0.9])
def test_sharing_a_band_follows_the_formula(similarity: float) -> None:
    """1 - (1 - s^8)^14 within three standard deviations of 120 pairs."""
    source, pairs = np.random.default_rng(0), 120
    common = round(200 * similarity)
    apart = (200 - common) // 2
    s = common / (common + 2 * apart)
    met = 0
    for _ in range(pairs):
        every = source.integers(0, 2**63, common + 2 * apart, dtype=np.uint64)
        a, b = every[: common + apart], np.concatenate([every[:common], every[common + apart :]])
        met += bool((bands(a) == bands(b)).any())
    expected = 1 - (1 - s**ROWS) ** BANDS
    assert abs(met / pairs - expected) <= 3 * (expected * (1 - expected) / pairs) ** 0.5 + 1 / pairs


def test_planted_copies_are_found_and_others_stay() -> None:
    """Of 80 texts 50 have a copy with one word of 120 changed: similarity .92 or more."""
    source = random.Random(1)
    words = [f"w{i}" for i in range(4000)]
    texts = [" ".join(source.choices(words, k=120)) for _ in range(80)]
    copies = []
    for text in texts[:50]:
        own = text.split()
        own[source.randrange(len(own))] = "changed"
        copies.append(" ".join(own))
    stay = kept([*texts, *copies], 5, 0.8)
    assert stay[:80] == list(range(80))
    assert len(stay) - 80 <= 1


def test_a_chain_keeps_its_ends() -> None:
    """a resembles b and b resembles c, but c does not resemble a."""
    a, b, c = (" ".join(["changed" + str(i) if i < changes else f"w{i}" for i in range(120)]) for changes in (0, 7, 14))
    near, far = 113 / 127, 106 / 134
    for one, other, alike in ((a, b, near), (b, c, near), (a, c, far)):
        assert jaccard(shingles(one, 1), shingles(other, 1)) == pytest.approx(alike)
    assert kept([a, b, c], 1, 0.8) == [0, 2]


def test_half_characters_and_no_texts() -> None:
    assert kept([], 5, 0.8) == []
    assert kept(["\ud800 a b c d e", "\ud800 a b c d e"], 5, 0.8) == [0]
