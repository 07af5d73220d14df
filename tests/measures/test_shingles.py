"""Texts that share most of their n-grams meet in a band, as the formula says, and go only if they are that similar."""

from __future__ import annotations

import random

import numpy as np
import pytest

from selfimprove.measures.shingles import BANDS, ROWS, alike, bands, bands_of, jaccard, meetings, shingles


def kept(texts: list[str], n: int, similarity: float) -> list[int]:
    twins = alike(bands_of(texts, n), lambda places: (texts[place] for place in places), n, similarity)
    return [place for place in range(len(texts)) if place not in {gone for gone, _, _ in twins}]


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
        keys = bands(np.concatenate([a, b]), np.array([len(a), len(b)]))
        met += bool((keys[0] == keys[1]).any())
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
    for one, other, common in ((a, b, near), (b, c, near), (a, c, far)):
        assert jaccard(shingles(one, 1), shingles(other, 1)) == pytest.approx(common)
    assert kept([a, b, c], 1, 0.8) == [0, 2]


def test_half_characters_and_no_texts() -> None:
    assert kept([], 5, 0.8) == []
    assert kept(["\ud800 a b c d e", "\ud800 a b c d e"], 5, 0.8) == [0]


def test_bands_that_several_texts_share_by_hand() -> None:
    keys = np.array([[7, 1], [7, 2], [8, 3], [9, 2]], dtype=np.uint64)
    places, met = meetings(keys)
    assert places.tolist() == [0, 1, 3]
    assert met.tolist() == [[0, -1], [0, 5], [-1, 5]]
    assert meetings(keys[:0])[0].tolist() == []


def test_a_text_has_the_same_bands_whatever_comes_with_it() -> None:
    texts = ["", "one", "a b c d e f", "caf\u00e9 au lait s'il vous pla\u00eet", "x " * 3000, "\ud800 half a b c d"]
    together = bands_of(texts, 3)
    for place, text in enumerate(texts):
        assert (bands_of([text], 3)[0] == together[place]).all()
