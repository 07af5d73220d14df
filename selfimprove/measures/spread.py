"""Rows of vectors that stand for all rows: k-center and facility location, both greedy and lazy.

Greedy k-center keeps the largest distance of a row to its nearest chosen one within twice the least possible (Gonzalez,
1985; core-sets by it in arXiv:1708.00489). Facility location maximizes the sum over all rows of the similarity to their
nearest chosen one; the greedy choice reaches at least 1 - 1/e of the best sum (Nemhauser et al., 1978). A choice only
brings rows nearer and only lowers gains, so what was computed before is a bound, and few rows are looked at again
(Minoux, 1978). The result is that of the plain greedy algorithm.
"""

from __future__ import annotations

from typing import Any

BLOCK = 256
"""Rows that are looked at together."""
RECENT = 64
"""A row that has not been compared with more choices than this is looked at apart from those that have."""


def k_center(rows: Any, wanted: int) -> list[int]:
    """The places of `wanted` rows, in the order in which they are chosen; the first is the nearest to the mean.

    Args:
        rows: vectors of length 1 (n, width) in float32; one of length 0 resembles no other.
    """
    import numpy as np

    wanted = min(wanted, len(rows))
    if not wanted:
        return []
    chosen = [int((rows @ rows.mean(0)).argmax())]
    centers = np.empty((wanted, rows.shape[1]), dtype=rows.dtype)
    centers[0] = rows[chosen[0]]
    near, seen = rows @ centers[0], np.ones(len(rows), dtype=int)  # similarity to the nearest of the first `seen`
    near[chosen[0]] = np.inf
    while len(chosen) < wanted:
        place, count = int(near.argmin()), len(chosen)
        if seen[place] == count:
            centers[count] = rows[place]
            chosen.append(place)
            near[place] = np.inf
            continue
        some = np.argpartition(near, BLOCK)[:BLOCK] if len(rows) > BLOCK else np.arange(len(rows))
        some = some[(seen[some] < count) & (near[some] < np.inf)]
        recent = seen[some] >= count - RECENT
        for part in (some[recent], some[~recent]):
            if len(part):
                found = rows[part] @ centers[seen[part].min() : count].T
                near[part] = np.maximum(near[part], found.max(1))
                seen[part] = count
    return chosen


def facility_location(rows: Any, wanted: int, over: Any = None) -> list[int]:
    """The places of `wanted` rows, in the order in which they are chosen.

    Args:
        rows: vectors of length 1 (n, width) in float32.
        over: the rows that the sum runs over (m, width); all by default, which takes n * n similarities, but never
            more than BLOCK * m at a time.
    """
    import numpy as np

    over = rows if over is None else over
    wanted = min(wanted, len(rows))
    covered = np.zeros(len(over), dtype=np.float32)

    def gains(part: Any) -> Any:
        return np.maximum(alike(rows[part], over) - covered, 0).sum(1, dtype=np.float64)

    blocks = [np.arange(at, min(at + BLOCK, len(rows))) for at in range(0, len(rows), BLOCK)]
    bound = np.concatenate([gains(block) for block in blocks]) if blocks else np.zeros(0)
    seen, chosen = np.zeros(len(rows), dtype=int), list[int]()
    while len(chosen) < wanted:
        place = int(bound.argmax())
        if seen[place] == len(chosen):
            chosen.append(place)
            covered = np.maximum(covered, alike(rows[place : place + 1], over)[0])
            bound[place] = -np.inf
            continue
        few = BLOCK // 8
        some = np.argpartition(-bound, few)[:few] if len(rows) > few else np.arange(len(rows))
        some = some[(seen[some] < len(chosen)) & (bound[some] > -np.inf)]
        bound[some] = gains(some)
        seen[some] = len(chosen)
    return chosen


def alike(some: Any, others: Any) -> Any:
    """(len(some), len(others)): cosines of vectors of length 1, moved to 0 to 1."""
    return (1 + some @ others.T) / 2


def k_means(rows: Any, k: int, seed: int, rounds: int = 20) -> tuple[Any, Any]:
    """The cluster of each row (n,) and the centers (k, width), by Lloyd's algorithm from k-means++ (Arthur, 2007).

    Args:
        k: clusters; fewer if there are fewer different rows.
    """
    import numpy as np

    if not len(rows):
        return np.zeros(0, dtype=int), rows
    draw = np.random.default_rng(seed)
    centers = [rows[draw.integers(len(rows))]]
    far = _squares(rows, centers[0][None])[:, 0]
    while len(centers) < k and far.sum() > 1e-9 * len(rows):
        centers.append(rows[draw.choice(len(rows), p=far / far.sum())])
        far = np.minimum(far, _squares(rows, centers[-1][None])[:, 0])
    means, own = np.array(centers), np.full(len(rows), -1)
    for _ in range(rounds):
        parts = [_squares(rows[at : at + 8192], means).argmin(1) for at in range(0, len(rows), 8192)]
        found = np.concatenate(parts)
        if (found == own).all():
            break
        own, count = found, np.bincount(found, minlength=len(means))
        order = np.argsort(own, kind="stable")
        filled = np.flatnonzero(count)  # a cluster that has lost all its rows keeps its center
        starts = np.concatenate([[0], np.cumsum(count[filled])[:-1]])
        means[filled] = np.add.reduceat(rows[order], starts) / count[filled, None]
    return own, means


def _squares(rows: Any, centers: Any) -> Any:
    """Squared distances (n, k) in float64; never below 0."""
    import numpy as np

    found = (rows**2).sum(1, dtype=np.float64)[:, None] - 2.0 * (rows @ centers.T) + (centers**2).sum(1)
    return np.maximum(found, 0)
