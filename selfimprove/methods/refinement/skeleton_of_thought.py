"""Write the points of an answer first, and then all of them at the same time.

Idea: an answer of several independent points need not be written one token after another; its points as one batch take
  as long as the longest of them.
Survey: efficiency, section 5.2.4.
Paper: arXiv:2307.15337 (Skeleton-of-Thought), Ning et al., 2023.
Algorithm:
  1. Ask for a skeleton: a numbered list of points of a few words, in the role `skeleton`.
  2. Ask for each of the first `points` points to be written out, in the role `expand`, all in one wave.
  3. The answer is the points in order, each with its number. A skeleton without a point is an ordinary attempt's turn.
Differs: nothing. Points do not see each other, so the paper advises it for knowledge and advice, and not for reasoning
  step by step.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside

POINT = re.compile(r"^\s*\d+[.)]\s+(\S.*)$", re.MULTILINE)
SKELETON, EXPAND = beside(__name__, "skeleton_of_thought.txt").split("\n---\n")


@register("skeleton_of_thought", paper="2307.15337")
@dataclass
class SkeletonOfThought(Refinement):
    points: int = bounded(10, 1)
    """Most points that are written out."""
    temperature: float = bounded(0.0, 0, 100)
    """Sampling temperature; 0 is greedy."""

    def needs(self) -> Needs:
        return Needs(roles=("skeleton", "expand"))

    def cost(self, given: Given) -> Cost:
        return given.attempt + given.draw(1 + self.points)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature)
        asked = session.words("skeleton", prompt, otherwise=SKELETON)
        [skeleton] = await session.draw(asked, 1, sampling, role="skeleton")
        points = POINT.findall(skeleton.text)[: self.points]
        if not points:
            return (await session.attempts(prompt, 1, sampling))[0]
        outline = "\n".join(f"{number}. {point}" for number, point in enumerate(points, 1))
        wanted = [
            session.words("expand", prompt, outline, str(number), point, otherwise=EXPAND)
            for number, point in enumerate(points, 1)
        ]
        drawn = await session.all([session.draw(one, 1, sampling, role="expand") for one in wanted])
        written = [one for [one] in drawn]
        text = "\n".join(f"{number}. {one.text.strip()}" for number, one in enumerate(written, 1))
        count = sum((one.logprobs or {}).get("count", 0) for one in written)
        total = sum((one.logprobs or {}).get("sum", 0.0) for one in written)
        return Rollout(
            prompt=prompt,
            completion=[{"role": "assistant", "content": text}],
            logprobs={"sum": total, "count": count},
            info={"finish_reason": "length" if any(one.truncated for one in written) else "stop"},
        )
