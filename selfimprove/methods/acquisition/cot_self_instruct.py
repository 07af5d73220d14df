"""The model plans a new problem, states it with its own answer, and keeps it only if its later answers agree.

Idea: a model that thinks before it writes a problem writes harder and cleaner ones. Whether it answers the problem the
  same way without the plan in view tells which of them are sound.
Survey: prompt-based generation, section 2.4.1.
Paper: arXiv:2507.23751 (CoT-Self-Instruct), Yu et al., 2025; the filter without answers is RIP, arXiv:2501.18578.
Algorithm:
  1. Draw `problems` replies in the role invent, each with `exemplars` of the given problems in view: a plan, the new
     problem, and its final answer after ####.
  2. Drop replies without a problem, held-out problems, and problems whose key or wording is known.
  3. Draw `samples` answers to each problem, without the plan.
  4. With `check: answer` keep a problem if the majority of them, which is at least `sure` of all, is the answer that
     was stated with it. With `vote` the majority alone decides, and is the answer. With `reward` (RIP) the worth of a
     problem is the lowest reward of its answers; keep those above the `quantile`, without an answer.
  5. Return the problems with those answers, after the given ones with `seeds`. An answer is the model's own label:
     `info` says so in `label`.
Differs: number of exemplars and samples are our choice. The paper's domains of seeds are left to the task. If planner
  and solver share an error, the filter cannot see it: `cot_self_instruct/right`, the share of right labels, is measured
  where the task can compute the answer, and used for nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.harvest import Harvest
from selfimprove.interfaces import Acquisition, Context, Sampling, Session
from selfimprove.measures.votes import plurality
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import nearest, register
from selfimprove.text import beside, quoted

ROLE = "invent"
CHECKS = ("answer", "vote", "reward")


@register("cot_self_instruct", paper="2507.23751")
@dataclass
class CotSelfInstruct(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Prompt
    problems: int = bounded(1000, 1)
    """Replies per round; some state no problem, or none that is kept."""
    exemplars: int = bounded(2, 1)
    """Given problems that each request shows."""
    samples: int = bounded(16, 1)
    """Answers to each new problem that check it."""
    check: str = "answer"
    """What keeps a problem: the stated `answer` that the majority gives too, a majority `vote`, or the `reward`."""
    sure: float = bounded(0.5, 0, 1)
    """Smallest share of the samples that the majority has."""
    quantile: float = bounded(0.5, 0, 1)
    """With `check: reward`: the share of problems that is dropped."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of the writer and of the answers."""
    similarity: float = bounded(1.0, 0, 1)
    """Highest ROUGE-L with a known problem; 1 keeps every problem with a new key."""
    seeds: bool = False
    """Return the given problems as well."""

    def __post_init__(self) -> None:
        if self.check not in CHECKS:
            raise RecipeError(
                f"acquisition.cot_self_instruct.check cannot be {self.check!r}.{nearest(self.check, CHECKS)}"
            )

    def needs(self) -> Needs:
        return Needs(roles=(ROLE,))

    def cost(self, given: Given) -> Cost:
        n = self.problems
        checked = Flow(n * self.samples, n, self.samples)
        return given.draw(n + checked.records) + (given.rate(checked) if self.check == "reward" else Cost())

    def gives(self, given: Given) -> Flow:
        n = given.flow.records * self.seeds + self.problems
        return Flow(n, n)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        harvest = Harvest("cot_self_instruct", records, context, self.similarity)
        stated = list[tuple[Prompt, str | None]]()
        for shown, reply in self._replies(records, context) if records else []:
            harvest.paid([reply])
            text, mark, said = reply.text.rpartition("####")
            text, said = (text, said) if mark else (reply.text, "")
            problem = harvest.read(reply, None if reply.truncated else text.rpartition("Problem:")[2].strip())
            if problem and harvest.fresh(problem):
                parents = tuple(one.id for one in shown)
                stated.append((replace(problem, parents=parents), context.answer_of(said) or said.strip() or None))
        sampling = Sampling(temperature=self.temperature)
        groups = context.policy.sample([problem for problem, _ in stated], self.samples, sampling)
        for group in groups:
            harvest.paid(group)
        labels = self._labels([said for _, said in stated], groups, context)
        known = right = 0
        for (problem, _), (good, label) in zip(stated, labels, strict=True):
            if good:
                known += problem.answer is not None and label is not None
                right += label is not None and problem.answer == label
                info = {} if label is None else {"label": "own"}
                harvest.keep(replace(problem, answer=label), answers=True, info=info)
        context.log.metric("cot_self_instruct/agreed", sum(good for good, _ in labels) / max(1, len(labels)))
        if known:
            context.log.metric("cot_self_instruct/right", right / known)
        return [*(records if self.seeds else []), *harvest.report()]

    def _replies(self, records: Sequence[Prompt], context: Context) -> list[tuple[list[Prompt], Rollout]]:
        """The exemplars of each request, and its reply."""
        source, sampling = Random(f"{context.seed}:exemplars"), Sampling(temperature=self.temperature)
        shown = [source.sample(records, min(self.exemplars, len(records))) for _ in range(self.problems)]
        words = beside(__name__, "cot_self_instruct.txt")

        async def invented(place: int, session: Session) -> Rollout:
            seen = shown[place]
            examples = "\n\n".join(f"<task>\n{{{number}}}\n</task>" for number in range(len(seen)))
            text = words.replace("{examples}", examples)
            request = session.words(ROLE, seen[0], *(quoted(one.prompt) for one in seen), otherwise=text)
            [reply] = await session.draw(request, 1, sampling, role=ROLE)
            return reply

        return [*zip(shown, context.run(invented, range(self.problems)), strict=True)]

    def _labels(
        self, stated: Sequence[str | None], groups: Sequence[Sequence[Rollout]], context: Context
    ) -> list[tuple[bool, str | None]]:
        """Whether each problem is kept, and its answer."""
        if self.check == "reward":
            rated = context.reward([one for group in groups for one in group])
            rows = [rated[place : place + self.samples] for place in range(0, len(rated), self.samples)]
            worst = [min((one.reward for one in row if one.reward is not None), default=None) for row in rows]
            ranked = sorted(one for one in worst if one is not None)
            bound = ranked[min(len(ranked) - 1, int(self.quantile * len(ranked)))] if ranked else 0.0
            return [(one is not None and one >= bound, None) for one in worst]
        votes = [plurality((context.answer_of(one.text) for one in group), self.sure) for group in groups]
        if self.check == "vote":
            return [(vote is not None, vote) for vote in votes]
        return [(vote is not None and vote == said, vote) for vote, said in zip(votes, stated, strict=True)]
