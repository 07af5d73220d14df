"""Finished runs side by side: the gain of each, and whether their champions differ on the sealed problems.

Numbers are comparable only if they were measured alike, so a run whose exam differs from the first run's is refused,
with the difference. Champions examined on the same sealed problems are compared by paired tests. Another seed or last
round draws other problems; then the champions are compared as two independent shares. If two exams overlap by chance,
this is conservative: scores on shared problems are positively correlated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfimprove.errors import RecipeError, listed
from selfimprove.measures import statistics
from selfimprove.records import Metric
from selfimprove.report.finished import Finished, finished


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """One row for each run, and each champion against the champion of the first run.

    Raises:
        RecipeError: there is only one run, or the runs were measured differently.
        MissingError: a run is not finished.
        DataError: a run is damaged.
    """
    if len(folders) < 2:
        raise RecipeError("a comparison takes two runs or more: selfimprove compare RUN_A RUN_B")
    first, *others = [finished(folder) for folder in folders]
    for other in others:
        different = differences(first, other)
        if different:
            raise RecipeError(f"{other.folder} cannot be compared with {first.folder}: {listed(different)}")
    pairs = [against(first, other) for other in others]
    adjusted = statistics.holm([pair["p"] for pair in pairs])
    comparisons = [{**pair, "p_holm": p} for pair, p in zip(pairs, adjusted, strict=True)]
    return {"runs": [run.row for run in (first, *others)], "comparisons": comparisons}


def differences(first: Finished, other: Finished) -> list[str]:
    """The reasons why two runs cannot be compared, each as `name is a, there b`."""
    here, there = other.contract, first.contract
    found = [
        f"{name} is {here[name]!r}, there {there[name]!r}"
        for name in there
        if name in here and here[name] != there[name]  # options of another method say nothing beside its name
    ]
    changed = [key for key, put in other.worded.items() if first.worded.get(key, put) != put]
    if changed:
        found.append(f"{len(changed)} problems are worded or answered differently, for example {changed[0]!r}")
    return found


def against(first: Finished, other: Finished) -> dict[str, Any]:
    """The difference between a run's champion and that of the first run, with its interval and p-value."""
    paired = first.scores.keys() == other.scores.keys()
    old = [*first.scores.values()]
    if paired:
        new = [other.scores[key] for key in first.scores]
        delta = statistics.difference(new, old)
        p = statistics.mcnemar_two_sided(*statistics.discordant(new, old))
    else:
        new = [*other.scores.values()]
        delta, p = difference_of_shares(new, old), fisher(new, old)
    return {
        "run": str(other.folder),
        "against": str(first.folder),
        "paired": paired,
        "n": [len(new), len(old)],
        "difference": delta.value,
        "ci": [delta.low, delta.high],
        "p": p,
    }


def difference_of_shares(new: Sequence[float], old: Sequence[float]) -> Metric:
    """The difference of two means of scores in [0, 1] on separate problems: Newcombe (1998), method 10."""
    a, b = (statistics.proportion(sum(scores), len(scores)) for scores in (new, old))
    delta = a.value - b.value
    low = delta - math.hypot(a.value - a.low, b.high - b.value)
    high = delta + math.hypot(a.high - a.value, b.value - b.low)
    return Metric(value=delta, low=low, high=high, n=min(a.n, b.n))


def fisher(new: Sequence[float], old: Sequence[float]) -> float:
    """Exact two-sided test that two policies solve equal shares of separate problems: Fisher (1922)."""
    from scipy.stats import fisher_exact

    solved, n = [sum(score > 0.5 for score in scores) for scores in (new, old)], (len(new), len(old))
    found: Any = fisher_exact([solved, [n[0] - solved[0], n[1] - solved[1]]])
    return float(found.pvalue)
