"""A tree of easier variants below each hard problem, written by the model: problems to train on before the hard ones.

Idea: a problem that is never solved gives no signal. Variants of it that are easier step by step reach down to what the
  model can do, and what it learns there carries over to the problem.
Survey: transformation-based generation, section 2.4.2; curricula.
Paper: arXiv:2503.00735 (LADDER), Simonds and Yoshiyama, 2025.
Algorithm:
  1. Draw `variants` easier variants of each problem in the role easier, with temperatures that go around the list 0.8,
     1.0, 1.2, 1.4. Variants of those that were kept in turn, up to `depth` levels.
  2. Drop replies without a problem, held-out problems, and problems whose key is known.
  3. Return the tree: a variant names its parent and the level at which it stands; with `roots` the given problems too.
  4. The recipe trains on all of them, easy and hard: rejection_sampling and a verifier, or GRPO on the problems.
Differs: the paper verifies answers numerically; here the task computes them with `answers: true`, or a vote labels
  them. Its personas in the prompts are left out. The refinement ladder has the same words and climbs at test time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.inference.easier import ROLE, easier
from selfimprove.inference.harvest import Harvest
from selfimprove.interfaces import Acquisition, Context, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register


@register("ladder_variants", paper="2503.00735")
@dataclass
class LadderVariants(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Prompt
    variants: int = bounded(4, 1)
    """Variants of each problem, at each level."""
    depth: int = bounded(2, 1, 3)
    """Levels of variants; the deepest has variants ** depth of each given problem at most."""
    answers: bool = False
    """Keep the answer that the task computes, for the label precision and for rewards that use it."""
    roots: bool = True
    """Return the given problems as well."""

    def needs(self) -> Needs:
        return Needs(roles=(ROLE,))

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.records * self._tree())

    def gives(self, given: Given) -> Flow:
        n = given.flow.records * (self.roots + self._tree())
        return Flow(n, n)

    def _tree(self) -> int:
        """Most variants below one problem."""
        return sum(self.variants**level for level in range(1, self.depth + 1))

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        harvest, level = Harvest("ladder_variants", records, context), list[Prompt](records)

        async def written(problem: Prompt, session: Session) -> list[Rollout]:
            return await easier(problem, self.variants, session)

        for step in range(1, self.depth + 1):
            below = list[Prompt]()
            for parent, replies in zip(level, context.run(written, level), strict=True):
                harvest.paid(replies)
                for reply in replies:
                    info = {"step": step, "root": parent.info.get("root", parent.id)}
                    made = harvest.take(harvest.read(reply), answers=self.answers, parents=(parent.id,), info=info)
                    below += [made] if made else []
            context.log.metric(f"ladder_variants/step_{step}", len(below))
            level = below
        return [*(records if self.roots else []), *harvest.report()]
