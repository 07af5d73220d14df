"""BLEU and its clusters, by hand."""

from __future__ import annotations

import pytest

from selfimprove.measures.likeness import bleu, clusters

TEXTS = ["the cat sat on the mat", "the cat sat on a mat", "dogs run", "the cat sat on the mat now"]


def test_bleu_by_hand() -> None:
    found = bleu(TEXTS)
    assert found[0, 0] == pytest.approx(1.0)
    assert found[0, 1] == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)  # the second `the` matches nothing
    assert found[0, 2] == 0.0  # no word in common
    assert found[0, 3] == pytest.approx(2.718281828 ** (1 - 7 / 6))  # all n-grams match; one word too short
    assert found[3, 0] == pytest.approx((6 / 7 * 5 / 6 * 4 / 5 * 3 / 4) ** 0.25)
    assert bleu(["a b", "a c"])[0, 1] == pytest.approx(
        (1 / 2 * 0.1 * 0.1 * 0.1) ** 0.25
    )  # smoothing where nothing matches


def test_average_linkage_joins_what_is_near_on_average() -> None:
    names = clusters(TEXTS, 0.5)
    assert names[0] == names[3] and len({*names}) == 3  # the second is at 0.54 and 0.45 from them: 0.496 on average
    joined = clusters(TEXTS, 0.49)
    assert joined[0] == joined[1] == joined[3] != joined[2]
    assert clusters([], 0.5) == [] and clusters(["a"], 0.5) == [1]
