"""Records whose features are those of the target are drawn more often, in proportion to their weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from selfimprove.methods.selection.dsir import Dsir, _distribution, _weights
from selfimprove.records import Document, Prompt


def asked(text: str) -> Prompt:
    return Prompt(prompt=[{"role": "user", "content": text}], key=text)


def test_log_weights_by_hand() -> None:
    """Target a, a, b with 1 added to 2 buckets: p = (3/5, 2/5); pool a and b b: q = (1/3, 2/3)."""
    p, q = _distribution(np.array([0, 0, 1]), 2, 1.0), _distribution(np.array([0, 1, 1]), 2, 0.0)
    assert p == pytest.approx([0.6, 0.4])
    assert q == pytest.approx([1 / 3, 2 / 3])
    found = _weights(np.array([0, 1, 1]), np.array([1, 2, 0]), np.log(p) - np.log(q))
    assert found == pytest.approx([np.log(1.8), 2 * np.log(0.6), 0.0])


def test_features_are_words_and_pairs_of_each_text() -> None:
    numbers, sizes = Dsir(buckets=10**9)._features(["A b. a b.", "", "a"])
    assert sizes.tolist() == [11, 0, 1]
    assert len(set(numbers[:11].tolist())) == 3 + 3  # a, b, "." and "a b", "b .", ". a"
    assert numbers[11] in numbers[:11]
    assert Dsir(characters=True)._features(["abcd"])[1].tolist() == [3 + 2 + 1]


def test_a_file_can_be_the_target(make_context: Callable, tmp_path: Path) -> None:
    goal = tmp_path / "goal.jsonl"
    goal.write_text("".join('{"text": "how many pears are %d sacks"}\n' % i for i in range(20)))  # noqa: UP031
    pool = [Document(text=f"how many pears are {i} bags" if i % 4 == 0 else f"kings of {i}") for i in range(80)]
    picked = Dsir(share=0.2, target=str(goal)).select(pool, make_context())
    assert sum("pears" in one.text for one in picked) >= 15


def test_the_targets_kind_is_found(make_context: Callable) -> None:
    """Of 400 documents a tenth are of the target's kind; nine of ten picks of a tenth are."""
    goal = [asked(f"how many apples are {i} boxes of {i + 2}") for i in range(30)]
    pool = [
        Document(
            text=f"how many pears are {i} bags of {i + 3}" if i % 10 == 0 else f"the treaty of {i} was signed by kings"
        )
        for i in range(400)
    ]
    context = make_context(selection=lambda n: goal[:n])
    picked = Dsir(share=0.1).select(pool, context)
    assert len(picked) == 40
    assert sum("pears" in one.text for one in picked) >= 36
    assert [pool.index(one) for one in picked] == sorted(pool.index(one) for one in picked)
    assert context.log.metrics["dsir/log_weight"] > 0


def test_a_target_like_the_pool_draws_uniformly(make_context: Callable) -> None:
    pool = [Document(text=f"same words {'ab'[i % 2]}") for i in range(40)]
    goal = [asked(one.text) for one in pool]
    drawn = Counter[str]()
    for seed in range(80):
        context = make_context(selection=lambda n: goal[:n], seed=seed)
        drawn.update(one.text for one in Dsir(share=0.25, smoothing=0.0).select(pool, context))
    assert drawn["same words a"] / drawn.total() == pytest.approx(0.5, abs=0.05)


def test_nothing_to_draw(make_context: Callable, make_rollout: Callable) -> None:
    assert list(Dsir(share=0.0).select([make_rollout()], make_context())) == []
    assert list(Dsir().select([], make_context())) == []
