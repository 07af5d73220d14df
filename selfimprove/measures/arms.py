"""Problems in groups that a bandit chooses among, and what a group of rewards can teach."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

from selfimprove.errors import DataError
from selfimprove.records import Prompt


def arms_of(problems: Sequence[Prompt], by: str) -> dict[str, list[int]]:
    """The places of the problems by what each notes under `by`, in its `info` or in what is given with it.

    Raises:
        DataError: a problem notes nothing there.
    """
    arms: dict[str, list[int]] = {}
    for place, problem in enumerate(problems):
        arms.setdefault(str(noted(problem, by)), []).append(place)
    return arms


def noted(problem: Prompt, by: str) -> object:
    """What a problem notes under a name.

    Raises:
        DataError: it notes nothing there.
    """
    value = problem.info.get(by, problem.given.get(by))
    if value is None:
        known = ", ".join(sorted({*problem.info, *problem.given})) or "nothing"
        raise DataError(f"a sampler looks for {by!r}, and the problem {problem.key!r} notes {known}; set its `by`")
    return value


def shares(values: Mapping[str, float], temperature: float, explore: float = 0.0) -> dict[str, float]:
    """Probabilities in proportion to exp(value / temperature), mixed with `explore` times the uniform ones."""
    top = max(values.values())
    weights = {arm: math.exp((value - top) / temperature) for arm, value in values.items()}
    total = sum(weights.values())
    return {arm: (1 - explore) * weight / total + explore / len(weights) for arm, weight in weights.items()}


def picked(arms: Mapping[str, Sequence[int]], chances: Mapping[str, float], k: int, source: random.Random) -> list[int]:
    """k places: an arm by its chance, then one of its problems uniformly, none twice before the arm is used up."""
    left: dict[str, list[int]] = {}
    made = list[int]()
    for arm in source.choices(list(arms), [chances[arm] for arm in arms], k=k):
        if not left.get(arm):
            left[arm] = source.sample(arms[arm], len(arms[arm]))
        made.append(left[arm].pop())
    return made


def advantages(group: Sequence[float | None], normalize: bool = True) -> list[float]:
    """The absolute advantage of each completion with a reward: its distance from the mean of its group.

    Args:
        normalize: divide by the group's standard deviation. With rewards 0 and 1 at the rate p the mean is then
            2 sqrt(p (1 - p)), else 2 p (1 - p) (1 - 1/G) in expectation for G completions.
    """
    known = [reward for reward in group if reward is not None]
    if not known:
        return []
    mean = sum(known) / len(known)
    spread = math.sqrt(sum((reward - mean) ** 2 for reward in known) / len(known)) if normalize else 1.0
    return [abs(reward - mean) / spread if spread else 0.0 for reward in known]


def mean_of(group: Sequence[float | None]) -> float | None:
    """The mean reward of a group, as far as it has rewards: the pass rate where they are 0 and 1."""
    known = [reward for reward in group if reward is not None]
    return sum(known) / len(known) if known else None
