"""ROUGE-L: the longest common subsequence, and pools of texts that are unlike each other."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from selfimprove.measures.rouge import Pool, common


def unlike(known: Sequence[str], new: Sequence[str], most: float = 0.7) -> list[str]:
    pool, kept = Pool(most), list[str]()
    for text in known:
        pool.add(text)
    for text in new:
        if not pool.holds_like(text):
            pool.add(text)
            kept.append(text)
    return kept


def test_rouge_by_hand() -> None:
    known = ["tom has two red apples and eats one"]  # 8 words
    assert unlike(known, ["tom has six red apples and eats one"]) == []  # 7 in common: F = 14 / 16
    assert unlike(known, ["how far does a train go in two hours"]) == ["how far does a train go in two hours"]
    assert unlike(["a b c d e f g x x x"], ["a b c d e f g y y y"]) == ["a b c d e f g y y y"]  # F = 0.7 exactly passes
    assert unlike(["a b c d"], ["d c b a"]) == ["d c b a"]  # the same words in another order: one in common
    assert unlike([], ["a b", "A B", "c d"]) == ["a b", "c d"]  # also of each other
    assert unlike(["a b"], ["a b"], most=1.0) == ["a b"]


@given(st.text(alphabet="abc", max_size=8), st.text(alphabet="abc", max_size=8))
def test_the_longest_common_subsequence(one: str, other: str) -> None:
    def subsequences(text: str) -> set[str]:
        found = {""}
        for letter in text:
            found |= {part + letter for part in found}
        return found

    assert common(one, other) == max(map(len, subsequences(one) & subsequences(other)))
