"""Measures of several attempts at one problem: pass@k, maj@k, best-of-k by a score, and the AUC of such a score.

Every function is pure, names its source, and does not depend on the order of the attempts.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache

from selfimprove.measures.statistics import mean
from selfimprove.measures.votes import tally
from selfimprove.records import Metric


def pass_at_k(n: int, right: int, k: int) -> float:
    """The unbiased probability that at least one of k completions is right, from `right` of n: 1 - C(n-c,k)/C(n,k).

    Raises:
        ValueError: k is larger than n, so there is no unbiased estimate.
    """
    _enough(n, k, "pass")
    return 1.0 - math.prod((n - right - i) / (n - i) for i in range(k)) if n - right >= k else 1.0


def majority_at_k(
    answers: Sequence[str | None], right: Sequence[bool], k: int, draws: int = 200, seed: int = 0
) -> float:
    """The probability that the majority of k of the answers is right; Wang et al., arXiv:2203.11171.

    None does not vote. Counts all subsets if there are at most `draws`, otherwise `draws` random ones. The right one of
    t tied answers counts 1 / t.
    """
    votes, names = sorted(zip(answers, right, strict=True), key=repr), dict[str, str]()
    _enough(len(votes), k, "maj")
    numbered = [None if answer is None else names.setdefault(answer, str(len(names))) for answer, _ in votes]
    alike = tuple(zip(numbered, (mark for _, mark in votes), strict=True))
    return _majority_right(alike, k, draws, seed)


@lru_cache(maxsize=1 << 14)
def _majority_right(votes: tuple[tuple[str | None, bool], ...], k: int, draws: int, seed: int) -> float:
    """The same for answers that are numbered: many problems differ only in what the answers are."""
    source = random.Random(seed)
    few = math.comb(len(votes), k) <= draws
    drawn = itertools.combinations(votes, k) if few else (tuple(source.sample(votes, k)) for _ in range(draws))
    subsets = Counter(drawn)  # equal votes make equal subsets
    return sum(_majority(subset) * times for subset, times in subsets.items()) / subsets.total()


def best_of_k(right: Sequence[float], scores: Sequence[float], k: int) -> float:
    """The exact accuracy of the best-scored of k completions over all subsets, by the order statistics of pass@k."""
    n = len(right)
    _enough(n, k, "best")
    blocks: dict[float, list[float]] = defaultdict(list)
    for mark, score in zip(right, scores, strict=True):
        blocks[score].append(mark)
    total, below = 0.0, 0
    for score in sorted(blocks):  # the best of a subset is in this block if all of it lies here or below, not all below
        upto = below + len(blocks[score])
        share = (math.comb(upto, k) - math.comb(below, k)) / math.comb(n, k)
        total, below = total + share * math.fsum(blocks[score]) / len(blocks[score]), upto
    return total


def auroc(right: Sequence[bool], scores: Sequence[float]) -> float | None:
    """P(a right completion scores higher than a wrong one): Mann and Whitney (1947); None without both kinds."""
    good = [score for mark, score in zip(right, scores, strict=True) if mark]
    bad = [score for mark, score in zip(right, scores, strict=True) if not mark]
    if not good or not bad:
        return None
    return sum((a > b) + 0.5 * (a == b) for a in good for b in bad) / (len(good) * len(bad))


def auroc_within(groups: Sequence[tuple[Sequence[bool], Sequence[float]]]) -> Metric:
    """The mean `auroc` within a prompt, over prompts with right and wrong completions; best-of-n depends on it."""
    found = [auroc(right, scores) for right, scores in groups]
    return mean([value for value in found if value is not None])


def standardized(values: Sequence[float | None]) -> list[float | None]:
    """Values with mean 0 and standard deviation 1 (Bessel's); 0 if all are equal. None stays None and is ignored."""
    known = [value for value in values if value is not None]
    middle, spread = sum(known) / max(1, len(known)), 0.0
    if len(known) > 1:
        spread = math.sqrt(math.fsum((value - middle) ** 2 for value in known) / (len(known) - 1))
    if spread < 1e-12:  # rounding error of equal values
        return [None if value is None else 0.0 for value in values]
    return [None if value is None else (value - middle) / spread for value in values]


def _majority(votes: Sequence[tuple[str | None, bool]]) -> float:
    counts = tally(answer for answer, _ in votes)
    most = max(counts.values(), default=0)
    tied = [answer for answer, count in counts.items() if count == most]
    right = {answer for answer, mark in votes if mark}
    return sum(answer in right for answer in tied) / len(tied) if tied else 0.0


def _enough(n: int, k: int, name: str) -> None:
    if k > n:
        raise ValueError(f"{name}@{k} needs at least {k} completions, there are {n}")
