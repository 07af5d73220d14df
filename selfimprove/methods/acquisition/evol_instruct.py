"""The model rewrites problems into harder ones and into other ones, round after round; failed rewrites are dropped.

Idea: a model can make a given problem harder more easily than invent a hard one. Each rewrite starts from the last, so
  difficulty grows step by step, and rewrites in breadth keep the set from staying on the topics of the seeds.
Survey: prompt-based generation, section 2.4.1.
Paper: arXiv:2304.12244 (WizardLM), Xu et al., 2023.
Algorithm:
  1. The pool is the given problems. `depth` times, rewrite each problem of the pool in the role evolve, with an
     operator drawn from `operators`: `constraints`, `deepen`, `concretize`, `reason` and `complicate` make it harder,
     `breadth` asks for another, rarer one of the same domain. A task may have its own words for them, as typed edits.
  2. Eliminate a rewrite that states no problem or declines, is held out or known, speaks of rewriting ("given prompt",
     "rewritten prompt", ...), or is, with `judged`, the same problem as before by the model's own word: no gain.
  3. With `answered`, draw an answer to it, and eliminate it if the answer is short and sorry, or has only punctuation
     and stop words.
  4. A problem whose rewrite was eliminated stays in the pool, else the rewrite takes its place.
  5. Return all rewrites, after the given problems with `seeds`.
Differs: the paper's code has four operators in depth and one in breadth, without `complicate`. Answers that only test a
  problem are thrown away; the rest of the recipe answers, so that a solver or rule says what is right, never the
  rewriter. The result is not shuffled: trainers do that. Our words; we have read none of the paper's numbers of rounds
  in a source, four rounds are what others report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.harvest import Harvest
from selfimprove.interfaces import GREEDY, Acquisition, Context, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import SOLVE, Prompt, Record, Rollout
from selfimprove.registry import nearest, register
from selfimprove.text import beside, quoted

OPERATORS = {
    "constraints": "Rewrite this task so that it has one more constraint or requirement.",
    "deepen": "Rewrite this task so that it asks about its subject in more depth and breadth.",
    "concretize": "Rewrite this task with more specific notions in the place of its general ones.",
    "reason": "Rewrite this task so that it takes several steps of reasoning instead of a few simple ones.",
    "complicate": "Rewrite this task so that what it gives to work with, such as data or code, is more complicated.",
    "breadth": "Write another task of the same domain, on a rarer subject, about as long and as hard as this one.",
}
"""Operator -> what is asked for."""
SAME = (
    "Do these two tasks have the same constraints and requirements, and do they ask for the same, in the same depth "
    "and breadth?\n\n<first>\n{problem}\n</first>\n\n<second>\n{0}\n</second>\n\nAnswer with yes or no only."
)
_TOLD = re.compile(r"\b((given|rewritten|created) prompt|(old|rewritten) task)\b", re.IGNORECASE)
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be but by for from has he her his i in is it its my no not of on or our she so that the "
        "their them they this to was we were what which who will with yes you your",
    )
)
SHORT = 80
"""Words below which an answer that is sorry counts as a refusal."""


@register("evol_instruct", paper="2304.12244")
@dataclass
class EvolInstruct(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Prompt
    depth: int = bounded(4, 1)
    """Rewrites of each given problem, one after the other."""
    operators: list[str] = field(default_factory=lambda: [*OPERATORS])
    """What a rewrite may do, each with the same chance; one that is named twice has twice the chance."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of the rewriter."""
    judged: bool = False
    """Ask the model whether a rewrite is the same problem as before, and drop it then; for models that can tell."""
    answered: bool = False
    """Draw an answer to each rewrite, and drop those whose answer refuses or says nothing."""
    similarity: float = bounded(1.0, 0, 1)
    """Highest ROUGE-L with a known problem; 1 keeps every problem with a new key."""
    answers: bool = False
    """Keep the answer that the task computes, for the label precision and for rewards that use it."""
    seeds: bool = True
    """Return the given problems as well."""

    def __post_init__(self) -> None:
        for name in self.operators:
            if name not in OPERATORS:
                raise RecipeError(f"acquisition.evol_instruct.operators: no {name!r}.{nearest(name, OPERATORS)}")
        if not self.operators:
            raise RecipeError(f"acquisition.evol_instruct.operators is empty; it takes {', '.join(OPERATORS)}")

    def needs(self) -> Needs:
        return Needs(roles=("evolve", *(("same",) if self.judged else ())))

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.records * self.depth * (1 + self.judged + self.answered))

    def gives(self, given: Given) -> Flow:
        n = given.flow.records * (self.seeds + self.depth)
        return Flow(n, n)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        harvest, pool = Harvest("evol_instruct", records, context, self.similarity), list[Prompt](records)
        for depth in range(1, self.depth + 1):
            kept = 0
            for place, (operator, problem, drawn, good) in enumerate(context.run(self._evolved(context), pool)):
                harvest.paid(drawn)
                parent, found = pool[place], harvest.read(drawn[0])
                if not problem or not found or not harvest.fresh(found) or not good:
                    continue
                info = {"operator": operator, "depth": depth}
                pool[place] = harvest.keep(found, answers=self.answers, parents=(parent.id,), info=info)
                kept += 1
            context.log.metric(f"evol_instruct/kept_{depth}", kept / max(1, len(pool)))
        return [*(records if self.seeds else []), *harvest.report()]

    def _evolved(self, context: Context) -> Any:
        """The routine that rewrites a problem: the operator, the problem, all completions, and whether it is good."""
        text, sampling = beside(__name__, "evol_instruct.txt"), Sampling(temperature=self.temperature)

        async def evolved(problem: Prompt, session: Session) -> tuple[str, Prompt | None, list[Rollout], bool]:
            operator = session.random.choice(self.operators)
            asked = OPERATORS[operator]
            request = session.words("evolve", problem, operator, asked, otherwise=text.replace("{0}", asked))
            drawn = await session.draw(request, 1, sampling, role="evolve")
            made = None if drawn[0].truncated else context.roles.read_proposal(drawn[0].text)
            if made is None or _TOLD.search(quoted(made.prompt)):
                return operator, None, drawn, False
            good = True
            if self.judged:
                compared = session.words("same", problem, quoted(made.prompt), otherwise=SAME)
                drawn += await session.draw(compared, 1, GREEDY, role="same")
                good = not re.match(r"\W*(yes|equal)\b", drawn[-1].text, re.IGNORECASE)
            if good and self.answered:
                drawn += await session.draw(made, 1, GREEDY, role=SOLVE)
                good = not says_nothing(drawn[-1].text)
            return operator, made, drawn, good

        return evolved


def says_nothing(text: str) -> bool:
    """Whether an answer is a short excuse, or has only punctuation and stop words."""
    words = re.findall(r"\w+", text.casefold())
    return ("sorry" in words and len(words) < SHORT) or all(word in _STOP_WORDS for word in words)
