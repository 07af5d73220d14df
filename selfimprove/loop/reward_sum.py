"""The weighted sum of a recipe's rewards, with its parts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from selfimprove.interfaces import Context, Judging
from selfimprove.measures.attempts import standardized
from selfimprove.recipe.schema import Recipe
from selfimprove.records import Rollout, changed


def rate(rollouts: Sequence[Rollout], recipe: Recipe, given: Context) -> list[Rollout]:
    """Rollouts with the weighted sum of the recipe's rewards; None if a reward with a weight gives None.

    Each reward sees all completions of a prompt in one call and may be standardized among them. `info["rewards"]` keeps
    the parts if there are several rewards, or if one judges, because its audit form needs the unweighted values.
    """
    places: dict[str, list[int]] = {}
    for place, rollout in enumerate(rollouts):
        places.setdefault(rollout.prompt.id, []).append(place)
    groups = [[rollouts[place] for place in group] for group in places.values()]
    order = [place for group in places.values() for place in group]
    totals: list[float | None] = [0.0 if recipe.reward else None] * len(rollouts)
    several = len(recipe.reward) > 1 or any(isinstance(reward, Judging) for reward in recipe.reward.values())
    parts: list[dict[str, float | None]] = [{} for _ in rollouts] if several else []
    for name, reward in recipe.reward.items():
        marks = reward.rate(groups, given.held(reward))
        counted = [standardized(row) for row in marks] if reward.normalize else marks
        for place, mark, counts in zip(order, itertools.chain(*marks), itertools.chain(*counted), strict=True):
            if several:
                parts[place][name] = mark
            total = totals[place]
            if reward.weight:
                totals[place] = None if counts is None or total is None else total + reward.weight * counts
    if not several:
        return [changed(rollout, reward=total, rated=True) for rollout, total in zip(rollouts, totals, strict=True)]
    return [
        changed(rollout, reward=total, rated=True, info={**rollout.info, "rewards": part})
        for rollout, total, part in zip(rollouts, totals, parts, strict=True)
    ]
