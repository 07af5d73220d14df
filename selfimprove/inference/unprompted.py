"""The loss of an answer after its problem, and alone: what a problem contributes to its answer.

Alone means after the start token, as published, or, for tokenizers that have none, after the task's prompt with an
empty problem.
"""

from __future__ import annotations

from collections.abc import Sequence

from selfimprove.errors import DataError, RecipeError
from selfimprove.interfaces import Policy, Roles
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout, changed

KINDS = ("start", "form")


def check(kind: str, option: str) -> None:
    """Whether there is such a meaning of alone.

    Raises:
        RecipeError: there is not.
    """
    if kind not in KINDS:
        raise RecipeError(f"{option}={kind} is none of {', '.join(KINDS)}")


def needs(kind: str) -> Needs:
    """What the losses need."""
    return Needs(statistics=("logprob", "unprompted") if kind == "start" else ("logprob",))


def losses(
    rollouts: Sequence[Rollout], policy: Policy, roles: Roles, kind: str, option: str
) -> list[tuple[float, float] | None]:
    """For each rollout the mean loss of its tokens in nats after its problem, and alone; None without a token.

    Args:
        option: the option of `kind`, for the message.

    Raises:
        DataError: `kind` is `start`, and the tokenizer has no start token.
    """
    if not rollouts:
        return []
    after = policy.logprobs_of(rollouts)
    if kind == "form":
        empty = Prompt(prompt=roles.solve(""))
        alone = policy.logprobs_of([changed(one, prompt=empty) for one in rollouts])
    else:
        try:
            alone = policy.logprobs_of(rollouts, "unprompted")
        except DataError as error:
            raise DataError(f"{error}: set {option}=form") from error
    return [
        (-sum(one) / len(one), -sum(other) / len(other)) if one and other else None
        for one, other in zip(after, alone, strict=True)
    ]
