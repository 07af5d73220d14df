"""Worked examples of each role for somebody who is to learn to solve school problems; hidden results stay hidden."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace

from selfimprove.problems import story_writing
from selfimprove.problems.stories import LARGEST, Story, fits, totals
from selfimprove.problems.story_words import StoryRoles
from selfimprove.problems.story_work import claims, corrections, entries, solved_with, verdict
from selfimprove.records import Message

INSTRUCTIONS = {"recall": 0.0, "hurry": 0.2, "think": 0.7, "count": 1.0}
"""Instructions that are taught, with the share of solutions that count."""
ATTEMPTS = (3, 8)
"""Fewest and most attempts in the examples of combine and choose."""
_SEES_AN_ATTEMPT = ("judge", "sure", "refine", "critique", "repair", "reflect")
_SEES_ALL = ("judge", "sure")
"""Roles that `judged_gap` teaches hidden results too."""

Lesson = tuple[list[Message], str]
"""A prompt and the reply to it."""


@dataclass
class Lessons:
    """Worked examples.

    Args:
        judged_gap: the roles judge and sure are taught hidden results too.
    """

    roles: StoryRoles
    judged_gap: bool

    def of(self, role: str, story: Story, source: random.Random) -> Lesson | None:
        """One example of a role, or None if it would reveal a hidden result."""
        if role in _SEES_AN_ATTEMPT:
            return self._on_an_attempt(role, story, source)
        if role in story_writing.ROLES:
            return story_writing.lesson(role, story, self.roles, source)
        roles, prompt, work = self.roles, self.roles.posed(story), self.roles.work
        at = source.randrange(len(story.steps))
        total, [sign, by] = totals(story.start, story.steps)[at], story.steps[at]
        match role:
            case "solve":
                return prompt.prompt, work.solution(story, source)
            case "hint":
                solution = work.solution(story, source)
                return roles.hint(prompt, solution[-1]), solution
            case "propose":
                return roles.propose(len(story.steps)), str(story)
            case "plan":
                return self._asked(role, story), story.key
            case "follow":
                return self._asked(role, story, story.key), work.counted(story, source)
            case "split":
                return self._asked(role, story), "\n".join(f"{sign}{by}" for sign, by in story.steps)
            case "part":
                return self._asked(role, story, str(total), f"{sign}{by}"), work.part(total, story.steps[at], source)
            case "conclude":
                return self._asked(role, story, str(total)), f"#{total}"
            case "combine" | "choose":
                return self._on_several(role, story, source)
            case "instructed":
                named = source.choice([*INSTRUCTIONS])
                able = replace(work, counted_share=INSTRUCTIONS[named])
                return self._asked(role, story, named), able.solution(story, source)
        return self._asked("instruct", story, "", ""), source.choice([*INSTRUCTIONS])

    def _on_an_attempt(self, role: str, story: Story, source: random.Random) -> Lesson | None:
        """An example of a role that sees an attempt, which is right about half the time."""
        prompt, work = self.roles.posed(story), self.roles.work
        attempt = work.slipped(story, source) if source.random() < 0.5 else work.solution(story, source)
        hides = work.hidden.intersection(entries(attempt)) or work.touches(story.key)
        if hides and not (self.judged_gap and role in _SEES_ALL):
            return None
        wrong = [f"{asked}={right}" for asked, made, right in claims(attempt) if made != right]
        match role:
            case "judge":
                return self.roles.judge(prompt, attempt), verdict(attempt)
            case "sure":
                return self._asked(role, story, attempt), "n" if wrong else "y"
            case "refine":
                return self.roles.refine(prompt, attempt), work.solution(story, source)
            case "critique":
                return self._asked(role, story, attempt), corrections(attempt)
        known = [f"{asked}={made}" for asked, made, _ in claims(attempt)]
        if source.random() < 0.5:  # any result is taken over, right or wrong, so that this reveals none
            at = source.randrange(len(known))
            fitting = [one for one in range(LARGEST + 1) if fits(one, story.steps[at + 1 :])]
            wrong = [f"{known[at][:-1]}{source.choice(fitting)}"]
            attempt, known = (attempt, known) if source.random() < 0.6 else ("", [])
        if role == "reflect":
            return (self._asked(role, story, "", ";".join(wrong)), ";".join(wrong)) if wrong else None
        text = solved_with(story, [*known, *wrong])
        given = entries(" ".join(wrong))
        if work.hidden.intersection(one for one in entries(text) if one not in given):
            return None
        return self._asked(role, story, attempt, ";".join(wrong)), text

    def _on_several(self, role: str, story: Story, source: random.Random) -> Lesson:
        """The most frequent of several answers, and for choose the number of the first attempt that has it."""
        usual, n = source.randint(0, LARGEST), source.randint(*ATTEMPTS)
        answers = [usual if source.random() < 0.5 else source.randint(0, LARGEST) for _ in range(n)]
        most = Counter(answers).most_common(1)[0][0]
        said = f"{most}#{answers.index(most) + 1}" if role == "choose" else f"#{most}"
        return self._asked(role, story, *(f"#{one}" for one in answers)), said

    def _asked(self, role: str, story: Story, *parts: str) -> list[Message]:
        return self.roles.words(role, self.roles.posed(story), parts) or []
