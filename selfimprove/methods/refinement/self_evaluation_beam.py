"""A beam over the steps of a solution, whose members are drawn by the model's probability and its own evaluation.

Idea: a wrong step early in a chain spoils the rest. The model can tell a right step from a wrong one better than it
  avoids it, so its judgement of each step guides the search; chance keeps the beam from collapsing to one line.
Survey: search, section 5.2.2.
Paper: arXiv:2305.00633 (Self-Evaluation Guided Beam Search), Xie et al., 2023.
Algorithm:
  1. The first `beams` x `samples` steps are drawn; afterwards each of the `beams` paths is continued by `samples`
     steps. Equal paths count once.
  2. log E of a path grows by `lam` x the step's log-probability + (1 - `lam`) x log C, where C is the judge's
     confidence that the path is right, (sum of `evaluations` judgements + 1/2) / (evaluations + 1).
  3. Paths that have ended go to the pool. Of the others `beams` are drawn without replacement in proportion to
     exp(log E / `tau`), by Gumbel noise; then tau is multiplied by `decay`. Repeat `steps` times.
  4. Answers of the pool are weighed by the sum of E; the best path of the heaviest answer is returned. If no path has
     ended, the best one is continued to its end.
Differs: the paper's C is the probability of the token of the option "correct"; here it is what the task's judge says,
  smoothed so that it is never 0. It draws in proportion to exp(E / tau); with E below 1 and few steps that is nearly
  uniform, so the exponent here is log E.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.paths import ROOT, Path, Steps, best_of, different
from selfimprove.inference.worth import UNKNOWN, Worth, voted
from selfimprove.interfaces import Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("self_evaluation_beam", paper="2305.00633")
@dataclass
class SelfEvaluationBeam(Refinement):
    beams: int = bounded(4, 1)
    """Paths that go on."""
    samples: int = bounded(4, 1)
    """Steps drawn from each of them."""
    steps: int = bounded(8, 1)
    """Most steps of a solution."""
    separator: str = "\n"
    """What ends a step; `;` in the tiny tasks."""
    step_tokens: int = bounded(0, 0)
    """Tokens of a step, if above 0, instead of a separator."""
    lam: float = bounded(0.5, 0, 1)
    """Weight of the model's log-probability; the rest is that of the judge. 1 asks no judge."""
    evaluations: int = bounded(1, 1)
    """Judgements of each path; one is greedy."""
    tau: float = bounded(0.5, 0, 100)
    """Temperature at which paths are drawn; 0 takes the best."""
    decay: float = bounded(0.5, 0, 1)
    """Factor of tau after each step."""
    temperature: float = bounded(0.8, 0, 100)
    """Sampling temperature of steps."""

    def __post_init__(self) -> None:
        self._steps = Steps(self.separator, self.step_tokens)
        self._steps.check("self_evaluation_beam")
        self._judge = Worth("judge", self.evaluations)

    def needs(self) -> Needs:
        return self._steps.needs() + (self._judge.needs() if self.lam < 1 else Needs())

    def cost(self, given: Given) -> Cost:
        width = self.beams * self.samples
        judged = self._judge.cost(given, self.steps * width) if self.lam < 1 else Cost()
        return self._steps.cost(given, width, (self.steps - 1) * width) + judged + given.draw()

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        beams, pool, tau = [(ROOT, 0.0)], list[tuple[Path, float]](), self.tau
        for step in range(self.steps):
            n = self.samples if step else self.beams * self.samples
            grown = await session.all([self._steps.grow(prompt, one, n, session, self.temperature) for one, _ in beams])
            before = {path: e for (_, e), paths in zip(beams, grown, strict=True) for path in paths}
            new = different(path for paths in grown for path in paths)
            sure = await self._sure(prompt, new, session)
            gained = [self.lam * path.gained + (1 - self.lam) * c for path, c in zip(new, sure, strict=True)]
            valued = [(path, before[path] + more) for path, more in zip(new, gained, strict=True)]
            pool += [one for one in valued if one[0].whole]
            session.best = best_of(pool or valued)
            beams = self._drawn([one for one in valued if not one[0].whole], tau, session)
            if not beams:
                break
            tau *= self.decay
        if not pool:
            ended = await self._steps.finish(prompt, beams[0][0], session, self.temperature)
            pool = [(ended, 0.0)]
        return self._won(pool, session)

    async def _sure(self, prompt: Prompt, paths: list[Path], session: Session) -> list[float]:
        """The logarithm of the judge's confidence in each path."""
        if self.lam == 1:
            return [0.0] * len(paths)
        found = await self._judge.of(prompt, [path.solution for path in paths if path.solution], session)
        return [math.log((c * self.evaluations + UNKNOWN) / (self.evaluations + 1)) for c in found]

    def _drawn(self, open_: list[tuple[Path, float]], tau: float, session: Session) -> list[tuple[Path, float]]:
        """The paths that go on, the best first."""
        noise = [-math.log(-math.log(max(session.random.random(), 1e-300))) if tau else 0.0 for _ in open_]
        ranked = sorted(zip(open_, noise, strict=True), key=lambda one: -(one[0][1] + tau * one[1]))
        return sorted((one for one, _ in ranked[: self.beams]), key=lambda one: -one[1])

    def _won(self, pool: list[tuple[Path, float]], session: Session) -> Rollout:
        most = max(e for _, e in pool)
        known = [(path.solution, math.exp(e - most)) for path, e in pool if path.solution]
        return voted(known, session)
