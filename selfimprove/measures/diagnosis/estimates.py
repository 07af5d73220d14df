"""A mean or a ratio over prompts with its bootstrap error: completions of one prompt are not independent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from selfimprove.measures.diagnosis.types import Estimate

RESAMPLES = 1000
"""Bootstrap resamples of the prompts."""


def estimate(top: Sequence[float], bottom: Sequence[float] | None = None) -> Estimate | None:
    """sum(top) / sum(bottom) over prompts; without `bottom`, the mean. None where all of `bottom` is 0.

    Raises:
        ValueError: there are fewer than two prompts, so there is no standard error.
    """
    import numpy

    if len(top) < 2:
        raise ValueError(f"a standard error needs at least 2 prompts, there are {len(top)}")
    above, below = numpy.asarray(top, float), numpy.ones(len(top)) if bottom is None else numpy.asarray(bottom, float)
    if not below.sum():
        return None
    weights = _resamples(len(top))
    if bottom is None:
        ratios = weights @ above / len(top)  # each resample has as many prompts
    else:
        sums = weights @ below
        ratios = (weights @ above)[sums != 0] / sums[sums != 0]
    low, high = numpy.quantile(ratios, [0.025, 0.975])
    error = float(ratios.std()) * math.sqrt(len(top) / (len(top) - 1))  # resampling alone is low by this factor
    return Estimate(float(above.sum() / below.sum()), error, float(low), float(high), int((below != 0).sum()))


@lru_cache(maxsize=8)
def _resamples(prompts: int) -> Any:
    """How often each prompt is in each resample; the same for all measures, so that their differences are paired."""
    import numpy

    return numpy.random.default_rng(0).multinomial(prompts, [1 / prompts] * prompts, size=RESAMPLES).astype(float)


def mean(values: Sequence[float]) -> Estimate:
    """The mean over prompts."""
    found = estimate(values)
    assert found is not None
    return found
