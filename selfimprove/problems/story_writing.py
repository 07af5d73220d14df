"""Worked examples of writing school problems: like others, harder, easier, with given features, with a solution."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from selfimprove.problems import stories
from selfimprove.problems.splits import split_of
from selfimprove.problems.stories import ASIDES, GAINS, LARGEST, LOSSES, Story, fits
from selfimprove.problems.story_words import StoryRoles
from selfimprove.records import Message

ROLES = ("similar", "invent", "evolve", "easier", "attributed")
"""Roles that write a problem."""
Written = tuple[list[Message], str]
"""A prompt and the reply to it."""


def lesson(role: str, story: Story, roles: StoryRoles, source: random.Random) -> Written | None:
    """An example of a role that ends in this story; None if what it is written from would be held out, or is none."""
    match role:
        case "similar" | "invent":
            shown = [_other(story, source) for _ in range(2)]
            said = f"{story}####{roles.work.solution(story, source)}" if role == "invent" else str(story)
            return _asked(roles, role, shown[0], *(f"S:{one}" for one in shown)), said
        case "evolve":
            operator = "breadth" if source.random() < 0.3 else "deepen"
            before = _other(story, source) if operator == "breadth" else _shorter(story)
            return _from(before, lambda one: _asked(roles, role, one, operator, ""), story)
        case "easier":
            return _from(_longer(story, source), lambda one: _asked(roles, role, one), story)
    features = f"level: {len(story.steps)}\nname: {story.name}\nthing: {story.thing}"
    return _asked(roles, role, story, features), str(story)


def _from(before: Story | None, asked: Callable[[Story], list[Message]], story: Story) -> Written | None:
    return (asked(before), str(story)) if before and split_of(before.key) == "train" else None


def _asked(roles: StoryRoles, role: str, story: Story, *parts: str) -> list[Message]:
    return roles.words(role, roles.posed(story), parts) or []


def _other(story: Story, source: random.Random) -> Story:
    """Another story of so many steps, which may be trained on."""
    keys = stories.sums(len(story.steps), source)
    key = next(key for key in keys if split_of(key) == "train")
    return stories.told(key, len(story.clauses) - len(story.steps), source)


def _shorter(story: Story) -> Story | None:
    """The story without its last step."""
    last = max(place for place, (verb, _) in enumerate(story.clauses) if verb not in ASIDES)
    made = replace(story, clauses=(*story.clauses[:last], *story.clauses[last + 1 :]))
    return made if made.steps else None


def _longer(story: Story, source: random.Random) -> Story | None:
    """The story with one more step; None if it cannot have any."""
    total = stories.totals(story.start, story.steps)[-1]
    by = source.choice([n for n in range(-total, LARGEST + 1 - total) if n])
    free = [verb for verb in (GAINS if by > 0 else LOSSES) if verb not in story.verbs]
    if not free or len(story.steps) == stories.MOST_STEPS:
        return None
    made = replace(story, clauses=(*story.clauses, (source.choice(free), abs(by))))
    return made if fits(made.start, made.steps) else None
