"""The task's own rule for completions in a run folder: whether one is right, whatever it was rewarded.

It tells that what was kept was wrong, or that what was dropped was right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfimprove import registry
from selfimprove.errors import UserError
from selfimprove.records import Rollout
from selfimprove.report.samples.drawn import Rule


def rule_of(settings: Mapping[str, Any]) -> Rule:
    """The rule of the task that a run's settings name; one that never tells if the task cannot be made here.

    Where the verifier is the only reward, the stored reward is the mark, and nothing is marked again.
    """
    rewards = settings.get("reward")
    if isinstance(rewards, Mapping) and set(rewards) == {"verifier"}:
        options = rewards["verifier"] or {}
        weight = options.get("weight", 1.0)
        if not options.get("normalize") and isinstance(weight, int | float) and weight > 0:
            return lambda rollout: None if rollout.reward is None else rollout.reward > 0.5 * weight
    try:
        [(name, options)] = settings["task"].items()
        task: Any = registry.find("task", name).method(**(options or {}))
    except (UserError, ValueError, TypeError, LookupError, AttributeError):
        return lambda rollout: None
    known = dict[tuple[str, str], bool | None]()

    def right(rollout: Rollout) -> bool | None:
        place = rollout.prompt.key, rollout.text
        if place not in known:
            try:
                mark = task.verify(rollout.prompt, rollout.text)
            except UserError:  # no sandbox here, data that is gone
                mark = None
            known[place] = None if mark is None else mark > 0.5
        return known[place]

    return right
