"""A tree of answers that grows wider or deeper: Thompson sampling decides whether to answer anew or to revise.

Idea: sampling many answers never learns from one, revising one answer never leaves it. At every node of the tree both
  are possible, and the values seen so far say which is the better bet.
Survey: search, section 5.2.2.
Paper: arXiv:2503.04412 (AB-MCTS), Inoue, Misaki et al., 2025.
Algorithm:
  1. From the root go down: at each node draw a value for "a new child here" and for each child from the posterior of
     its values, and take the highest (AB-MCTS-A of the library treequest, `prior` gaussian or beta).
  2. A new child of the root is a new attempt. A new child of another node is a revision of its answer, in the role
     `refine`, which shows the answer.
  3. Value the answer, in [0, 1], as in `mcts`, and add the value on the way up. Repeat `expansions` times.
  4. Weigh each final answer by the sum of its values; return the best one of the heaviest.
Differs: the paper takes the best value, which comes from tests of programs; a judge is noisier, so here values vote,
  and `choose: best` is the paper's. With `batch` above 1 several expansions are chosen before their values are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.revise import revised
from selfimprove.inference.worth import Worth, voted
from selfimprove.interfaces import Context, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("ab_mcts", paper="2503.04412")
@dataclass
class AbMcts(Refinement):
    expansions: int = bounded(16, 1)
    """Answers, new and revised ones."""
    batch: int = bounded(1, 1)
    """Expansions chosen at a time."""
    value: str = "judge"
    """Who values answers: `judge`, `votes`, `model` or `verifier`."""
    evaluations: int = bounded(1, 1)
    """Judgements of each answer; one is greedy."""
    prior: str = "gaussian"
    """The family of the posterior of values: `gaussian` or `beta`."""
    choose: str = "vote"
    """`vote`: the answer whose values weigh most together; `best`: the one with the highest value."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""

    def __post_init__(self) -> None:
        if self.prior not in ("gaussian", "beta"):
            raise RecipeError(f"refinement.ab_mcts.prior takes gaussian or beta, not {self.prior!r}")
        if self.choose not in ("vote", "best"):
            raise RecipeError(f"refinement.ab_mcts.choose takes vote or best, not {self.choose!r}")
        self._worth = Worth(self.value, self.evaluations)
        self._worth.check("ab_mcts.value")

    def needs(self) -> Needs:
        return self._worth.needs() + Needs(roles=("refine",), packages=("treequest",))

    def cost(self, given: Given) -> Cost:
        each = [max(pair) for pair in zip(given.attempt, given.draw(), strict=True)]  # new or revised
        return self.expansions * Cost(*each) + self._worth.cost(given, self.expansions)

    def fit(self, context: Context) -> dict[str, Any]:
        return self._worth.learned(context)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        from treequest import ABMCTSA

        search: Any = ABMCTSA(dist_type=self.prior)  # pyright: ignore[reportArgumentType]
        tree, pool = search.init_tree(), list[tuple[Rollout, float]]()
        while len(pool) < self.expansions:
            n = min(self.batch, self.expansions - len(pool))
            with _numbers(session):
                tree, trials = search.ask_batch(tree, n, ["say"])
            said = await session.all([self._said(prompt, one.parent_state, session) for one in trials])
            values = await self._worth.of(prompt, said, session, [one for one, _ in pool])
            for trial, one, value in zip(trials, said, values, strict=True):
                tree = search.tell(tree, trial.trial_id, (one, min(1.0, max(0.0, value))))
                pool.append((one, value))
            session.best = self._won(pool, session)
        return self._won(pool, session)

    async def _said(self, prompt: Prompt, before: Rollout | None, session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature)
        if before is None:
            return (await session.attempts(prompt, 1, sampling))[0]
        return (await revised(prompt, before.text, session, sampling))[0]

    def _won(self, pool: list[tuple[Rollout, float]], session: Session) -> Rollout:
        return voted(pool, session) if self.choose == "vote" else max(pool, key=lambda one: one[1])[0]


@contextmanager
def _numbers(session: Session) -> Iterator[None]:
    """Give the library, which draws from numpy's global generator, numbers of this item; the old ones come back."""
    import numpy

    before = numpy.random.get_state()
    numpy.random.seed(session.random.getrandbits(32))
    try:
        yield
    finally:
        numpy.random.set_state(before)
