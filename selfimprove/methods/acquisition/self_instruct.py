"""The model writes more problems like the given ones, without reference answers.

Idea: new problems that a model writes after a few examples are training data for any method that needs no reference
  answers, provided that copies and near copies are dropped.
Survey: prompt-based generation, section 2.4.1.
Paper: arXiv:2212.10560 (Self-Instruct), Wang et al., 2022; for reinforcement learning arXiv:2505.20347 (SeRL), Fang et
  al., 2025; for preferences arXiv:2401.10020 (Self-Rewarding) and arXiv:2410.06961 (SynPO).
Algorithm:
  1. Draw `problems` replies. Without `exemplars` they are in the role `propose`, in equal shares for the `levels`, and
     the task chooses the examples. With `exemplars` each request, in the role similar, shows so many known problems: up
     to `machine` that the model wrote, the others from those given, in a random order. Requests go out in groups of
     `batch`, and what is kept may be shown from the next group on.
  2. Of a reply that is a numbered list take up to `listed` problems. Drop what states no problem, held-out problems,
     and problems whose key is known.
  3. With `filters`, drop problems of 3 words or fewer or more than 150, with words such as image, graph or file, that
     begin with "Write a program", with punctuation or with a character outside ASCII.
  4. Drop a problem whose ROUGE-L with a given or an earlier new one is above `similarity`: the F-measure of the
     longest common subsequence of words.
  5. Return the given problems as well, or with `seeds: false` only the new ones.
Differs: as published it is `exemplars: 8`, `listed: 8`, `batch: 5`, `filters: true`, with temperature 0.7 and top-p 0.5
  in its code, for a base model that continues a list; our words are for a chat model. Instances of a task, and whether
  it is a classification, are left out: the rest of the recipe answers the problems. The code of SeRL has the KL weight
  1e-4 in its README and 1e-3 in its script. SynPO writes problems from three random words, Self-Rewarding from eight
  examples. If all problems share one template of numbers, ROUGE-L does not tell new problems from old: set similarity
  to 1 and rely on keys.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.inference.harvest import Harvest, items
from selfimprove.interfaces import Acquisition, Context, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register
from selfimprove.text import beside, quoted

ROLE = "similar"
_UNSUITED = re.compile(r"\b(images?|graphs?|pictures?|files?|maps?|draw|plot|go to)\b", re.IGNORECASE)


@register("self_instruct", paper="2212.10560")
@dataclass
class SelfInstruct(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Prompt
    problems: int = bounded(2000, 1)
    """Replies per round; some state no problem, or no new one."""
    levels: list[int] = field(default_factory=list)
    """Difficulties to request, in equal shares; if empty, the prompt names no difficulty. Not used with exemplars."""
    exemplars: int = bounded(0, 0)
    """Known problems that each request shows; 0 leaves the examples to the task."""
    machine: int = bounded(2, 0)
    """Most of them that the model itself wrote."""
    batch: int = bounded(5, 1)
    """Requests with exemplars that go out together; what they bring may be shown from the next ones on."""
    listed: int = bounded(1, 1)
    """Problems that a request with exemplars asks for, and most that are taken from its reply."""
    filters: bool = False
    """Drop problems that the paper's code drops by their words; for English instructions."""
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
        return Needs(roles=(ROLE if self.exemplars else "propose",))

    def cost(self, given: Given) -> Cost:
        asked = 1 if self.exemplars else len(self.levels) or 1
        return given.draw(asked * -(-self.problems // asked))

    def gives(self, given: Given) -> Flow:
        n = given.flow.records * self.seeds + self.problems * (self.listed if self.exemplars else 1)
        return Flow(n, n)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        harvest = Harvest("self_instruct", records, context, self.similarity)
        if self.exemplars and records:
            self._shown(records, harvest, context)
        else:
            for reply in self._proposed(context):
                harvest.paid([reply])
                problem = harvest.read(reply)
                if problem is not None and not (self.filters and unsuited(quoted(problem.prompt))):
                    harvest.take(problem, answers=self.answers)
        made = harvest.report()
        return [*(records if self.seeds else []), *made]

    def _proposed(self, context: Context) -> list[Rollout]:
        """Replies to the task's own request for a problem."""
        levels: list[int | None] = [*self.levels] or [None]
        asked = [Prompt(prompt=context.roles.propose(level), key=f"propose {level}") for level in levels]
        shares = [self.problems // len(levels) + (i < self.problems % len(levels)) for i in range(len(levels))]
        sampling = Sampling(temperature=self.temperature, top_p=self.top_p)
        groups = context.policy.sample(asked, max(shares), sampling, role="propose")
        return [reply for group, share in zip(groups, shares, strict=True) for reply in group[:share]]

    def _shown(self, records: Sequence[Prompt], harvest: Harvest, context: Context) -> None:
        """Ask group by group, each request with exemplars of its own."""
        source, sampling = Random(f"{context.seed}:exemplars"), Sampling(temperature=self.temperature, top_p=self.top_p)
        words = beside(__name__, "self_instruct.txt").replace("{number}", str(self.listed))

        async def asked(place: int, session: Session) -> Rollout:
            shown = exemplars[place]
            examples = "\n".join(f"{number + 1}. {{{number}}}" for number in range(len(shown)))
            text = words.replace("{examples}", examples).replace("{next}", str(len(shown) + 1))
            request = session.words(ROLE, shown[0], *(quoted(one.prompt) for one in shown), otherwise=text)
            [reply] = await session.draw(request, 1, sampling, role=ROLE)
            return reply

        for begin in range(0, self.problems, self.batch):
            group = range(begin, min(begin + self.batch, self.problems))
            exemplars = {place: self._exemplars(records, harvest.kept, source) for place in group}
            for place, reply in zip(group, context.run(asked, group), strict=True):
                harvest.paid([reply])
                parents = tuple(one.id for one in exemplars[place])
                for text in items(reply, self.listed) or [None]:
                    problem = harvest.read(reply, text)
                    if problem is not None and not (self.filters and unsuited(quoted(problem.prompt))):
                        harvest.take(problem, answers=self.answers, parents=parents)

    def _exemplars(self, given: Sequence[Prompt], own: Sequence[Prompt], source: Random) -> list[Prompt]:
        """Problems to show: the model's own and given ones, as many as there are, in a random order."""
        drawn = source.sample(own, min(self.machine, self.exemplars, len(own)))
        drawn += source.sample(given, min(self.exemplars - len(drawn), len(given)))
        source.shuffle(drawn)
        return drawn


def unsuited(text: str) -> bool:
    """Whether the paper's code drops an instruction by its words."""
    size = len(text.split())
    odd = text[:1] in string.punctuation or not text[:1].isascii() or text.startswith("Write a program")
    return not 3 < size <= 150 or odd or _UNSUITED.search(text) is not None
