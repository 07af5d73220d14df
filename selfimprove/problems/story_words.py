"""What a tiny model is asked about a school problem in each role, and how its replies are read."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfimprove.problems.stories import Story, read
from selfimprove.problems.story_work import Work
from selfimprove.records import Message, Prompt

LONGEST_INSTRUCTION = 8
"""Characters of an instruction that are shown."""
MOST_NOTES = 6
"""Results in notes that are shown."""
_RESULT = re.compile(r"\d[+-]\d=\d")
_STORY = re.compile(r"[A-Z][a-z]+ has .*? How many\?")
_JUDGED = re.compile(r"(\d[+-]\d)=\d:(\d)[yn]")


@dataclass
class StoryRoles:
    """Prompts that begin with a one-letter marker, because the tiny model reads characters."""

    work: Work
    posed: Callable[[Story], Prompt]
    """The problem of a story."""
    longest: int
    """Most steps of a proposal that is read."""

    def solve(self, problem: str) -> list[Message]:
        return _user("S", problem)

    def hint(self, prompt: Prompt, answer: str) -> list[Message]:
        return _user("H", f"{answer}|{_text(prompt)}")

    def propose(self, level: int | None) -> list[Message]:
        return _user("P", f"{level or ''}|")

    def judge(self, prompt: Prompt, attempt: str) -> list[Message]:
        return _user("J", f"{_text(prompt)}{attempt}|")

    def refine(self, prompt: Prompt, attempt: str) -> list[Message]:
        return _user("R", f"{_text(prompt)}{attempt}|")

    def words(self, role: str, prompt: Prompt, parts: Sequence[str]) -> list[Message] | None:
        match role:
            case "plan":
                return _user("L", _text(prompt))
            case "follow":
                return _user("F", f"{_text(prompt)}{parts[0]}|")
            case "critique":
                return _user("C", f"{_text(prompt)}{parts[0]}|")
            case "repair":
                return _user("W", f"{_text(prompt)}{parts[0]}~{_known(parts[1])}|")
            case "reflect":
                return _user("E", f"{_known(parts[1])}|")
            case "retry":
                return _user("W", f"{_text(prompt)}~{_known(parts[0])}|")
            case "recall":
                return _user("W", f"{_text(prompt)}~{_fitting(parts[0], _text(prompt))}|")
            case "combine":
                return _user("M", f"{';'.join(map(_ended, parts))}|")
            case "reconsider":
                groups = re.findall(r"(\d+) of \d+ answer (\d)\b", parts[0])
                return _user("M", f"{';'.join(answer for n, answer in groups for _ in range(int(n)))}|")
            case "choose":
                return _user("N", f"{';'.join(f'{i}={_ended(one)}' for i, one in enumerate(parts, 1))}|")
            case "sure":
                return _user("Y", f"{_text(prompt)}{parts[0]}|")
            case "instructed":
                return _user("I", f"{parts[0][:LONGEST_INSTRUCTION]}|{_text(prompt)}")
            case "instruct" | "vary" | "guess" | "criticize" | "rewrite" | "mutate":
                return _user("O", "|")
            case "split":
                return _user("D", _text(prompt))
            case "part":
                story = read(_text(prompt))
                return _user("T", f"{parts[0][-1:] or (story.start if story else '')}{parts[1]}|")
            case "conclude":
                return _user("U", f"{parts[0][-1:]}|")
            case "similar":
                return _user("X", f"{''.join(found[0] for part in parts[:2] if (found := _STORY.search(part)))}|")
            case "invent":
                return _user("Q", f"{_text(prompt)}|")
            case "evolve":
                return _user("V", f"{'=' if parts[0] == 'breadth' else '+'}{_text(prompt)}|")
            case "easier":
                return _user("K", f"{_text(prompt)}|")
            case "attributed":
                return _user("G", f"{''.join(re.findall(r': (.+)', parts[0]))}|")
        return None

    def read_judgement(self, text: str) -> float | None:
        return {"#y": 1.0, "#n": 0.0}.get(text[-2:])

    def read_proposal(self, text: str) -> Prompt | None:
        story = read(text)
        return self.posed(story) if story and len(story.steps) <= self.longest else None

    def solution(self, prompt: Prompt) -> str | None:
        story = read(_text(prompt))
        return None if story is None else self.work.solution(story, random.Random(prompt.key))


def _user(marker: str, text: str) -> list[Message]:
    return [{"role": "user", "content": f"{marker}:{text}"}]


def _known(text: str) -> str:
    """The results in a text, such as `8-2=6`, each once; of a judge's `8-2=5:6n` the one that it calls right."""
    return ";".join(dict.fromkeys(_RESULT.findall(_JUDGED.sub(r"\1=\2", text))))


def _fitting(notes: str, story: str) -> str:
    """The results in notes that a step of this story may need."""
    known, found = read(story), _known(notes).split(";")
    steps = [f"{sign}{by}=" for sign, by in known.steps] if known else []
    return ";".join([one for one in found if any(step in one for step in steps)][:MOST_NOTES])


def _ended(attempt: str) -> str:
    """The answer of an attempt, or -."""
    found = re.search(r"#(\d)$", attempt)
    return found[1] if found else "-"


def _text(prompt: Prompt) -> str:
    """The story in the prompt of any role."""
    found = _STORY.search(prompt.prompt[-1]["content"])
    return found[0] if found else prompt.key
