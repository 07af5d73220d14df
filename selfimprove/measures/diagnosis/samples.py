"""Rollouts as samples: all that a diagnosis needs of a completion."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selfimprove.measures.diagnosis.types import Sample
from selfimprove.records import Rollout


def marked(
    groups: Sequence[Sequence[Rollout]],
    mark: Callable[[Rollout], float | None],
    answer: Callable[[Rollout], str | None],
) -> tuple[list[list[Sample]], tuple[str, ...]]:
    """Rollouts as samples, and the keys of their prompts; a prompt that cannot be marked is left out."""
    found, keys = list[list[Sample]](), list[str]()
    for group in groups:
        texts = {rollout.text: rollout for rollout in group}  # equal completions are marked once
        marks = {text: mark(rollout) for text, rollout in texts.items()}
        if None not in marks.values():
            answers = {text: answer(rollout) for text, rollout in texts.items()}
            found.append([_sample(rollout, marks[rollout.text], answers[rollout.text]) for rollout in group])
            keys.append(group[0].prompt.key)
    return found, tuple(keys)


def _sample(rollout: Rollout, mark: float | None, answer: str | None) -> Sample:
    noted = rollout.logprobs or {}
    length = int(noted.get("count", len(rollout.text)))
    score = noted["sum"] / max(1, length) if "sum" in noted else None
    return Sample((mark or 0.0) > 0.5, answer, score, length, rollout.truncated, rollout.reward)
