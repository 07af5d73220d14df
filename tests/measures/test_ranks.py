"""The highest scores stay, ties are told apart by ids, and the order of the pool decides nothing."""

from __future__ import annotations

from selfimprove.measures.ranks import by_id, highest
from selfimprove.records import Document


def test_the_highest_by_hand() -> None:
    pool = [Document(text=text) for text in "abcdef"]
    scores = [1.0, None, 3.0, 2.0, float("nan"), 2.0]
    assert highest(pool, scores, 1) == [pool[2]] and highest(pool, scores, 9) == [pool[i] for i in (0, 2, 3, 5)]
    tied = highest(pool, scores, 2)
    assert tied == highest(pool[::-1], scores[::-1], 2)[::-1] and len(tied) == 2
    assert min(pool[3].id, pool[5].id) in [one.id for one in tied]
    assert [pool[i].id for i in by_id(pool)] == sorted(one.id for one in pool)
