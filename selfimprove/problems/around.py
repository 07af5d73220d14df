"""What a task puts around a problem when it asks for the answer."""

from __future__ import annotations

from selfimprove.interfaces import Roles

_PROBLEM = "\ue005"


def around(roles: Roles) -> tuple[str, str]:
    """The text before and after the problem in the last message that asks for its answer; "" where nothing is."""
    before, _, after = roles.solve(_PROBLEM)[-1]["content"].partition(_PROBLEM)
    return before, after
