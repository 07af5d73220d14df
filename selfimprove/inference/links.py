"""The methods of a chain as sessions run them, each with its state and with what it may take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Policy, Refinement
from selfimprove.needs import called

Rating = Callable[[str, int], Cost]
"""(name of a reward, completions of one prompt) -> the most that it takes; "" stands for all rewards."""


@dataclass(frozen=True)
class Link:
    """A method of a chain, with the state and limits for its sessions."""

    method: Refinement
    name: str
    policy: Policy
    """Enforces what the method declares."""
    state: Mapping[str, Any]
    most: Cost
    """The declared largest cost of one answer."""


def linked(
    policy: Policy,
    methods: Sequence[Refinement],
    states: Sequence[Mapping[str, Any]],
    rating: Rating,
    before: Sequence[Link] = (),
) -> list[Link]:
    """A chain, and further methods behind it, whose attempts are made by those before them."""
    longest = max(engine.longest() for engine in (policy.engine, *policy.helpers.values()))
    given = Given(length=longest, rate=lambda flow: rating("", flow.records))
    made, attempt = [*before], before[-1].most if before else given.draw()
    for method, state in zip(methods, states, strict=True):
        attempt = method.cost(replace(given, attempt=attempt))
        made.append(Link(method, called(method), policy.held(method), state, attempt))
    return made
