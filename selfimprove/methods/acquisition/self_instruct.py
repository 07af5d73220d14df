"""The model writes more problems like the given ones, without reference answers.

Idea: new problems that a model writes after a few examples are training data for any method that needs no reference
  answers, provided that copies and near copies are dropped.
Survey: prompt-based generation, section 2.4.1.
Paper: arXiv:2212.10560 (Self-Instruct), Wang et al., 2022; for reinforcement learning arXiv:2505.20347 (SeRL), Fang et
  al., 2025; for preferences arXiv:2401.10020 (Self-Rewarding) and arXiv:2410.06961 (SynPO).
Algorithm:
  1. Draw `problems` replies in the role `propose`, in equal shares for the `levels`.
  2. Drop replies without a problem, held-out problems, and problems whose key is known.
  3. Drop a problem whose ROUGE-L with a given or an earlier new one is above `similarity`: the F-measure of the
     longest common subsequence of words.
  4. Return the given problems as well, or with `seeds: false` only the new ones.
Differs: the task chooses the examples; Self-Instruct shows eight, two of them the model's own. SynPO writes problems
  from three random words, Self-Rewarding from eight examples. If all problems share one template of numbers, ROUGE-L
  does not tell new problems from old: set similarity to 1 and rely on keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.needs import Needs
from selfimprove.problems.splits import split_of
from selfimprove.records import Prompt, Record
from selfimprove.registry import register
from selfimprove.text import quoted


@register("self_instruct", paper="2212.10560")
@dataclass
class SelfInstruct(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Prompt
    problems: int = bounded(2000, 1)
    """Replies per round; some state no problem, or no new one."""
    levels: list[int] = field(default_factory=list)
    """Difficulties to request, in equal shares; if empty, the prompt names no difficulty."""
    temperature: float = bounded(0.8, 0, 100)
    """Sampling temperature of the writer."""
    top_p: float = bounded(0.95, 0, 1)
    """Nucleus of the writer's sampling."""
    similarity: float = bounded(0.7, 0, 1)
    """Highest ROUGE-L with a known problem; 1 keeps every problem with a new key."""
    answers: bool = False
    """Keep the answer that the task computes, for the label precision and for rewards that use it."""
    seeds: bool = True
    """Return the given problems as well."""

    def needs(self) -> Needs:
        return Needs(roles=("propose",))

    def cost(self, given: Given) -> Cost:
        asked = len(self.levels) or 1
        return given.draw(asked * -(-self.problems // asked))

    def gives(self, given: Given) -> Flow:
        n = given.flow.records * self.seeds + self.problems
        return Flow(n, n)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        levels: list[int | None] = [*self.levels] or [None]
        asked = [Prompt(prompt=context.roles.propose(level), key=f"propose {level}") for level in levels]
        shares = [self.problems // len(levels) + (i < self.problems % len(levels)) for i in range(len(levels))]
        sampling = Sampling(temperature=self.temperature, top_p=self.top_p)
        groups = context.policy.sample(asked, max(shares), sampling, role="propose")
        replies = [reply for group, share in zip(groups, shares, strict=True) for reply in group[:share]]
        stated = [None if reply.truncated else context.roles.read_proposal(reply.text) for reply in replies]
        valid = [problem for problem in stated if problem]
        keys = {prompt.key for prompt in records}
        fresh: dict[str, Prompt] = {}
        for problem in valid:
            if problem.key not in keys and split_of(problem.key) == "train":
                fresh.setdefault(problem.key, problem)
        kept = self._unlike([_words(prompt) for prompt in records], list(fresh.values()))
        for name, number in (("valid", len(valid)), ("fresh", len(fresh)), ("kept", len(kept))):
            context.log.metric(f"self_instruct/{name}", number / len(replies))
        made = [replace(p, answer=p.answer if self.answers else None) for p in kept]
        return [*(records if self.seeds else []), *made]

    def _unlike(self, known: list[list[str]], problems: Sequence[Prompt]) -> list[Prompt]:
        """The problems that are not too similar to a known or an earlier one."""
        if self.similarity >= 1:
            return list(problems)
        pool, kept = [(words, Counter(words)) for words in known], list[Prompt]()
        for problem in problems:
            words = _words(problem)
            counts = Counter(words)
            if any(self._alike(words, counts, *other) for other in pool):
                continue
            pool.append((words, counts))
            kept.append(problem)
        return kept

    def _alike(self, one: list[str], own: Counter[str], other: list[str], its: Counter[str]) -> bool:
        """Whether ROUGE-L is above the bound; the count of common words is a faster upper bound of it."""
        size = len(one) + len(other)
        if not size or 2 * (own & its).total() <= self.similarity * size + 1e-9:
            return False
        return 2 * _common(one, other) > self.similarity * size + 1e-9


def _words(prompt: Prompt) -> list[str]:
    return quoted(prompt.prompt).casefold().split()


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = row
        row = [0]
        for place, its in enumerate(other):
            row.append(before[place] + 1 if word == its else max(before[place + 1], row[-1]))
    return row[-1]
