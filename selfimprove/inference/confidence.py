"""How sure a completion is by the distributions of its tokens (arXiv:2508.15260, DeepConf)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from selfimprove.inference.ballots import Candidate, mean, winner

MEASURES = ("lowest", "bottom", "tail", "mean")


def groups(confidences: Sequence[float], window: int) -> list[float]:
    """The mean over each `window` tokens in a row; of a shorter completion that of all its tokens."""
    wide = min(window, len(confidences))
    return [mean(confidences[end - wide : end]) for end in range(wide, len(confidences) + 1)] if wide else []


def confidence_of(confidences: Sequence[float], window: int, measure: str) -> float:
    """The confidence of a completion by those of its tokens; 0 if nothing was noted.

    Args:
        measure: its `lowest` group, the mean of the `bottom` tenth of its groups, its last group (`tail`) or the
            `mean` of all tokens.
    """
    found = groups(confidences, window)
    if not found:
        return 0.0
    match measure:
        case "lowest":
            return min(found)
        case "bottom":
            return mean(sorted(found)[: math.ceil(len(found) / 10)])
        case "tail":
            return found[-1]
    return mean(confidences)


def edge(values: Sequence[float], percent: float) -> float:
    """The value below which this percentage of all values lies, by linear interpolation as numpy does."""
    ranked = sorted(values)
    place = (len(ranked) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (ranked[high] - ranked[low]) * (place - low)


def surest_vote(candidates: Sequence[Candidate], confidences: Sequence[float], lowest: float) -> int:
    """The place of the answer by a vote of the candidates that are at least so sure, weighted by their confidence.

    If none of them has an answer, all vote; if nothing was noted, all vote alike.
    """
    kept = [one.answer is not None and sure >= lowest for one, sure in zip(candidates, confidences, strict=True)]
    if not any(kept):
        kept = [True] * len(candidates)
    places = [place for place, stays in enumerate(kept) if stays]
    least = min(confidences)
    shift = 1 - least if least <= 0 else 0.0  # weights are positive; equal ones stay equal
    chosen = winner([candidates[place] for place in places], [confidences[place] + shift for place in places])
    return places[chosen]
