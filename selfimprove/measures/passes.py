"""Places in random order, pass by pass, with the rest of the pass in a sampler's state."""

from __future__ import annotations

from collections.abc import Collection

from selfimprove.interfaces import SamplerPool


def onward(pool: SamplerPool, k: int, without: Collection[int] = ()) -> list[int]:
    """The next k places of a pass, each once; a new pass begins in a new random order where one ends.

    Fewer are given only where there are fewer.

    Args:
        without: places that are left out of every pass.
    """
    left_out = set(without)
    places = [place for place in range(len(pool.problems)) if place not in left_out]
    made: dict[int, None] = {}
    while len(made) < min(k, len(places)):
        order = pool.state.get("order") or pool.random.sample(places, len(places))
        fresh = [place for place in order if place not in made][: min(k, len(places)) - len(made)]
        made |= dict.fromkeys(fresh)
        taken = set(fresh)
        pool.state["order"] = [place for place in order if place not in taken]
    return list(made)
