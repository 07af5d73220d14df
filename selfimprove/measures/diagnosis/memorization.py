"""The memorization gap: how much more often problems are solved than the same problems with other numbers.

Source: arXiv:2402.19450 (the reasoning gap of functional benchmarks), Srivastava et al., 2024.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfimprove.measures.diagnosis.estimates import estimate
from selfimprove.measures.diagnosis.types import Estimate


def memorization(
    marks: Mapping[str, Sequence[float | None]], changed: Mapping[str, Sequence[float | None]]
) -> Estimate | None:
    """The mean accuracy on problems minus that on their variants; None if fewer than two pairs can be marked.

    Args:
        marks: the marks of the samples of each problem, by its key.
        changed: those of the samples of its counterfactual variant, by the key of the original problem.
    """
    gaps = list[float]()
    for key, others in changed.items():
        own, other = ([mark for mark in row if mark is not None] for row in (marks.get(key, ()), others))
        if own and other:
            gaps.append(sum(own) / len(own) - sum(other) / len(other))
    return estimate(gaps) if len(gaps) > 1 else None


def grew(now: Estimate, first: Estimate) -> bool:
    """Whether the gap is above 0 and above that of the start, each by more than two standard errors.

    The two are measured on different problems, so their errors add up.
    """
    return now.above(0) and now.value - first.value > 2 * (now.error**2 + first.error**2) ** 0.5
